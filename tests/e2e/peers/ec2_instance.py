"""Makes an instance with tags and a second volume, and prints what EC2 says of it as a JSON object.

Usage: ec2_instance.py ENDPOINT
"""

import json
import sys

import boto3

ec2 = boto3.client("ec2", endpoint_url=sys.argv[1], region_name="us-west-2")
tags = [
    {"Key": "kubernetes.io/cluster/demo", "Value": "owned"},
    {"Key": "with <signs> & \"quotes\"", "Value": "küche\n2"},
    {"Key": "empty", "Value": ""},
]
image = ec2.describe_images()["Images"][0]["ImageId"]
instance = ec2.run_instances(
    ImageId=image,
    InstanceType="m5.large",
    MinCount=1,
    MaxCount=1,
    TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
)["Instances"][0]
zone = instance["Placement"]["AvailabilityZone"]
volume = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
ec2.attach_volume(VolumeId=volume, InstanceId=instance["InstanceId"], Device="/dev/sdf")
found = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}])
volumes = {a["Device"]: a["VolumeId"] for v in found["Volumes"] for a in v["Attachments"]}
print(
    json.dumps(
        {
            "id": instance["InstanceId"],
            "type": instance["InstanceType"],
            "image": instance["ImageId"],
            "zone": zone,
            "address": instance["PrivateIpAddress"],
            "name": instance["PrivateDnsName"],
            "tags": {tag["Key"]: tag["Value"] for tag in tags},
            "volumes": volumes,
        }
    )
)
