"""Every action of the EC2 simulator with boto3: botocore's own serializer, parser and model.

Usage: python smoke.py ENDPOINT. Prints the actions called, one a line; fails on the first thing that is wrong.
"""
import sys
import xml.etree.ElementTree as ElementTree

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from model import check_names

called = set()


def after_call(http_response, model, **_):
    called.add(model.name)
    if http_response.status_code == 200 and model.output_shape is not None:
        check_names(ElementTree.fromstring(http_response.content), model.output_shape)


def expect(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert error.response["Error"]["Message"], error
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error
        assert error.response["ResponseMetadata"]["RequestId"], error
        return
    raise AssertionError(f"{call} was not refused with {code}")


def tcp(port, *cidrs):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": c} for c in cidrs]}


def main(endpoint):
    ec2 = boto3.client(
        "ec2",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="AKIABOTO",
        aws_secret_access_key="not-a-secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    ec2.meta.events.register("after-call.ec2", after_call)

    vpcs = {vpc["IsDefault"]: vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}
    group = ec2.create_security_group(
        GroupName="smoke",
        Description="of boto3",
        VpcId=vpcs[False],
        TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "k", "Value": "v"}]}],
    )["GroupId"]
    ec2.create_tags(Resources=[group], Tags=[{"Key": "team", "Value": "blue"}])
    rules = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            tcp(443, *[f"10.0.0.{i}/32" for i in range(12)]),
            {"IpProtocol": "58", "Ipv6Ranges": [{"CidrIpv6": "2001:DB8::1/128", "Description": "c/ns/pod"}]},
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        ],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": "owner", "Value": "c/1"}]}],
    )["SecurityGroupRules"]
    assert len(rules) == 14, rules
    assert rules[12]["CidrIpv6"] == "2001:db8::1/128" and rules[12]["Tags"] == [{"Key": "owner", "Value": "c/1"}], rules
    expect("InvalidPermission.Duplicate", 400, ec2.authorize_security_group_ingress, GroupId=group,
           IpPermissions=[tcp(443, "10.0.0.1/32")])
    expect("DryRunOperation", 412, ec2.authorize_security_group_ingress, GroupId=group, DryRun=True,
           IpPermissions=[tcp(1, "10.0.0.1/32")])

    pages = list(ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "tag:owner", "Values": ["c/*"]}], PaginationConfig={"PageSize": 5}))
    assert [len(page["SecurityGroupRules"]) for page in pages] == [5, 5, 4], pages

    rule = rules[0]["SecurityGroupRuleId"]
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[{
        "SecurityGroupRuleId": rule,
        "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIpv4": "10.0.0.0/32"}}])
    held = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert sorted(p.get("FromPort", -1) for p in held["IpPermissions"]) == [-1, -1, 80, 443], held
    assert len(held["IpPermissionsEgress"]) == 1, held

    gone = ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])
    assert [r["SecurityGroupRuleId"] for r in gone["RevokedSecurityGroupRules"]] == [rule], gone
    expect("InvalidPermission.NotFound", 400, ec2.revoke_security_group_ingress, GroupId=group,
           IpPermissions=[tcp(80, "10.0.0.0/32")])
    expect("InvalidSecurityGroupRuleId.NotFound", 400, ec2.revoke_security_group_ingress, GroupId=group,
           SecurityGroupRuleIds=[rule])
    unknown = ec2.revoke_security_group_ingress(GroupName="default", IpPermissions=[tcp(1, "10.0.0.0/32")])
    assert unknown["UnknownIpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/32"}], unknown

    ec2.delete_tags(Resources=[group], Tags=[{"Key": "team"}])
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [group]}])["Tags"]
    assert tags == [{"Key": "k", "ResourceId": group, "ResourceType": "security-group", "Value": "v"}], tags
    ec2.delete_security_group(GroupId=group)
    expect("InvalidGroup.NotFound", 400, ec2.describe_security_groups, GroupIds=[group])
    expect("UnauthorizedOperation", 403, denied_client(endpoint).describe_vpcs)
    print("\n".join(sorted(called)))


def denied_client(endpoint):
    """The test has set an empty policy for this key."""
    return boto3.client("ec2", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="AKIADENIED",
                        aws_secret_access_key="not-a-secret")


main(sys.argv[1])
