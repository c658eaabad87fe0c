"""Answers of the EC2 simulator, read by botocore's own parser for EC2.

Usage: python parse.py < ANSWERS, one JSON object a line: action, status, headers, body.
Prints the actions that succeeded and the codes of the errors, one a line; fails on the first answer that is wrong.
"""
import json
import sys
import xml.etree.ElementTree as ElementTree

import botocore.session
from botocore.parsers import create_parser

from model import check_names

model = botocore.session.get_session().get_service_model("ec2")
assert model.protocol_name == "ec2" if hasattr(model, "protocol_name") else model.metadata["protocol"] == "ec2"
parser = create_parser("ec2")
seen = set()

for line in sys.stdin:
    answer = json.loads(line)
    action, status, body = answer["action"], answer["status"], answer["body"]
    known = action in model.operation_names
    shape = model.operation_model(action).output_shape if known else None
    parsed = parser.parse({"status_code": status, "headers": answer["headers"], "body": body.encode()}, shape)
    metadata = parsed["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == status and len(metadata["RequestId"]) == 36, answer
    root = ElementTree.fromstring(body.encode())
    if status == 200:
        assert known, f"{action} is no action of EC2"
        assert "Error" not in parsed, parsed
        # DeleteTags and others answer `return`, which the model leaves out.
        if shape is not None:
            check_names(root, shape)
        seen.add(action)
    else:
        error = parsed["Error"]
        assert error["Code"] and error["Message"], answer
        assert [child.tag for child in root] == ["Errors", "RequestID"], body
        assert [child.tag for child in root[0]] == ["Error"], body
        assert [child.tag for child in root[0][0]] == ["Code", "Message"], body
        seen.add(error["Code"])

print("\n".join(sorted(seen)))
