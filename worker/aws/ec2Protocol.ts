/** The SDK's protocol of EC2, but that it reads what EC2 writes in a fraction of the time, and leaves a fraction of the garbage. */
import { AwsEc2QueryProtocol, XmlShapeDeserializer } from '@aws-sdk/core/protocols'
import { readPlainXml } from './plainXml.ts'

/**
 * The SDK's parser takes texts apart character by character. Here the plain XML of answers is parsed otherwise; the SDK makes its output of
 * that as ever, and reads all that is not plain by itself: so whatever is wrong with an answer is its error, as if this were not here.
 */
class PlainXmlDeserializer extends XmlShapeDeserializer {
  override read(...[schema, bytes, key]: Parameters<XmlShapeDeserializer['read']>): unknown {
    const plain =
      typeof bytes === 'string' || key !== undefined
        ? undefined
        : readPlainXml(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    return plain === undefined ? super.read(schema, bytes, key) : this.readSchema(schema, plain)
  }
}

export class Ec2Protocol extends AwsEc2QueryProtocol {
  constructor(options: ConstructorParameters<typeof AwsEc2QueryProtocol>[0]) {
    super(options)
    this.deserializer = new PlainXmlDeserializer(this.deserializer.settings)
  }
}
