"""botocore's model of EC2: whether what a response holds is in it."""


def check_names(element, shape, path=""):
    """Every element of a response must be in botocore's model: a misspelt one would be lost in silence."""
    children = [(child.tag.split("}")[-1], child) for child in element]
    if shape.type_name == "structure":
        members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        for tag, child in children:
            if path == "" and tag == "requestId":
                continue
            assert tag in members, f"{path}/{tag} is not in botocore's model of {shape.name}"
            check_names(child, members[tag], f"{path}/{tag}")
    elif shape.type_name == "list":
        item = shape.member.serialization.get("name", "item")
        for tag, child in children:
            assert tag == item, f"{path}/{tag} should be {item}"
            check_names(child, shape.member, f"{path}/{tag}")
    else:
        assert not children, f"{path} is a {shape.type_name} and has children"
