/** Cuts a stream of bytes into lines, wherever the chunks break: also inside a character. */

export interface LineCutter {
  /** The lines that this chunk completes, without their ends; empty ones are left out. @throws Error past `maxBytes` */
  push(chunk: Uint8Array): string[]
}

const LINE_FEED = 0x0a

/** No byte of a multi-byte UTF-8 character is a line feed, so bytes are cut first and decoded as whole lines. */
export function createLineCutter(maxBytes: number): LineCutter {
  let begun: Uint8Array[] = []
  let begunBytes = 0
  function hold(piece: Uint8Array): void {
    begunBytes += piece.length
    if (begunBytes > maxBytes) throw new Error(`a line of a watch is longer than ${String(maxBytes)} bytes`)
    if (piece.length > 0) begun.push(piece)
  }
  return {
    push(chunk) {
      const lines: string[] = []
      let from = 0
      for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
        hold(chunk.subarray(from, end))
        const line = Buffer.concat(begun, begunBytes).toString('utf8')
        if (line.trim() !== '') lines.push(line)
        begun = []
        begunBytes = 0
        from = end + 1
      }
      hold(chunk.subarray(from))
      return lines
    }
  }
}
