//! Answers as EC2 writes them.

use proptest::prelude::*;

use super::*;

const TAGS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</requestId>
    <tagSet>
        <item>
            <resourceId>i-1</resourceId>
            <resourceType>instance</resourceType>
            <key>aws:autoscaling:groupName</key>
            <value>ng &amp; co</value>
        </item>
        <item><resourceId>i-1</resourceId><resourceType>instance</resourceType><key>empty</key><value/></item>
    </tagSet>
    <nextToken>a=b</nextToken>
</DescribeTagsResponse>"#;

const VOLUMES: &str = r#"<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
<volumeSet><item><volumeId>vol-1</volumeId><size>80</size><availabilityZone>us-east-1a</availabilityZone><status>in-use</status>
<attachmentSet><item><volumeId>vol-1</volumeId><instanceId>i-1</instanceId><device>/dev/xvda</device><status>attached</status></item>
</attachmentSet><tagSet><item><key>device</key><value>/dev/no</value></item></tagSet></item>
<item><volumeId>vol-2</volumeId><availabilityZone>us-east-1b</availabilityZone>
<attachmentSet><item><instanceId>i-2</instanceId><device>/dev/sdb</device></item>
<item><instanceId>i-1</instanceId><device>/dev/sdf</device></item></attachmentSet></item>
<item><volumeId>vol-3</volumeId><availabilityZone>us-east-1b</availabilityZone><attachmentSet/></item>
</volumeSet></DescribeVolumesResponse>"#;

const INSTANCES: &str = r#"<DescribeInstancesResponse><reservationSet><item><reservationId>r-1</reservationId><groupSet/>
<instancesSet><item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code></instanceState>
<privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><instanceType>m5.large</instanceType>
<placement><availabilityZone>us-east-1a</availabilityZone><groupName/></placement>
<privateIpAddress>10.0.0.1</privateIpAddress>
<networkInterfaceSet><item><privateIpAddress>10.9.9.9</privateIpAddress><tagSet><item><key>no</key></item></tagSet></item></networkInterfaceSet>
<tagSet><item><key>kubernetes.io/cluster/c</key><value>owned</value></item></tagSet></item></instancesSet></item>
</reservationSet></DescribeInstancesResponse>"#;

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

#[test]
fn pages_of_tags() {
    let page = tags(TAGS.as_bytes()).unwrap();
    assert_eq!(page.items, [tag("aws:autoscaling:groupName", "ng & co"), tag("empty", "")]);
    assert_eq!(page.next_token.as_deref(), Some("a=b"));
    let empty = "<DescribeTagsResponse><tagSet/><nextToken/></DescribeTagsResponse>";
    assert_eq!(tags(empty.as_bytes()).unwrap(), Page { items: vec![], next_token: None });
}

#[test]
fn attachments_are_those_of_the_instance() {
    let volume = |id: &str, device: &str, zone: &str| Volume {
        id: id.into(),
        device: device.into(),
        availability_zone: zone.into(),
    };
    let page = volumes(VOLUMES.as_bytes(), "i-1").unwrap();
    let expected = [volume("vol-1", "/dev/xvda", "us-east-1a"), volume("vol-2", "/dev/sdf", "us-east-1b")];
    assert_eq!(page.items, expected);
}

#[test]
fn an_instance_is_not_its_interfaces() {
    let expected = Instance {
        id: "i-1".into(),
        instance_type: "m5.large".into(),
        image_id: "ami-1".into(),
        availability_zone: "us-east-1a".into(),
        private_ip: "10.0.0.1".into(),
        private_dns_name: "ip-10-0-0-1.ec2.internal".into(),
        tags: vec![tag("kubernetes.io/cluster/c", "owned")],
    };
    assert_eq!(instances(INSTANCES.as_bytes()).unwrap().items, [expected]);
}

#[test]
fn refusals() {
    let check = |body: &str, code: &str, message: &str| {
        let expected = Refusal { code: code.into(), message: message.into() };
        assert_eq!(refusal(body.as_bytes()), expected, "{body}");
    };
    check(
        "<?xml version=\"1.0\"?><Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not \
         authorized.</Message></Error></Errors><RequestID>x</RequestID></Response>",
        "UnauthorizedOperation",
        "You are not authorized.",
    );
    check("<html><body>Bad gateway</body></html>", "", "");
    check("<Response><Errors><Error><Code>Half", "", "");
    check("", "", "");
}

#[test]
fn what_is_no_answer() {
    let error = |body: &[u8]| tags(body).unwrap_err().to_string();
    assert_eq!(error(b"<html></html>"), "the answer is \"html\", which was not asked for");
    assert_eq!(
        error(VOLUMES.as_bytes()),
        "the answer is \"DescribeVolumesResponse\", which was not asked for"
    );
    assert_eq!(error(b"{}"), "not XML at byte 0: an element is expected");
    assert_eq!(error(b"<a>\xff</a>"), "not UTF-8");
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><DescribeTagsResponse>&b;</DescribeTagsResponse>";
    assert_eq!(error(laughs.as_bytes()), "not XML at byte 0: a document type is not allowed");
}

proptest! {
    #[test]
    fn any_tag_comes_through(key in "\\PC{0,20}", value in "\\PC{0,20}") {
        let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = format!(
            "<DescribeTagsResponse><tagSet><item><key>{}</key><value>{}</value></item></tagSet></DescribeTagsResponse>",
            escaped(&key), escaped(&value)
        );
        prop_assert_eq!(tags(body.as_bytes()).unwrap().items, [tag(&key, &value)]);
    }

    #[test]
    fn a_cut_answer_is_refused(at in 0..INSTANCES.len() - 1) {
        prop_assert!(instances(&INSTANCES.as_bytes()[..at]).is_err());
    }
}
