//! The service in the states that it is found in.

use std::net::TcpListener;

use super::*;
use crate::testing::{Answer, Asked, Fake};
use component::causes;

fn at(url: &str) -> Imds {
    let requests = Requests::new(HttpClientConfig::default()).unwrap();
    Imds(Some(client(Client::builder().endpoint(url).unwrap(), &requests, 0)))
}

/// A service with tokens; `answer` is asked for everything else.
fn service(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Fake {
    Fake::start(move |asked: &Asked| -> Answer {
        let path = asked.line.split(' ').nth(1).unwrap();
        if path == "/latest/api/token" {
            return (200, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "a-token".into());
        }
        assert_eq!(asked.header("x-aws-ec2-metadata-token"), Some("a-token"));
        let (status, body) = answer(path);
        (status, "", body)
    })
}

#[tokio::test]
async fn the_identity_document() {
    let document = r#"{"accountId":"111122223333","architecture":"x86_64","imageId":"ami-1","instanceId":"i-1",
        "instanceType":"m5.large","region":"r","availabilityZone":"ra","privateIp":"10.0.0.1","kernelId":null,
        "billingProducts":null,"pendingTime":"2024-01-01T00:00:00Z","version":"2017-09-30"}"#;
    let fake = service(|path| match path {
        IDENTITY => (200, document.to_owned()),
        "/latest/meta-data/hostname" => (200, "ip-10-0-0-1.ec2.internal".to_owned()),
        _ => (404, String::new()),
    });
    let imds = at(&fake.url());
    let expected = InstanceIdentity {
        instance_id: "i-1".into(),
        instance_type: "m5.large".into(),
        region: "r".into(),
        availability_zone: "ra".into(),
        private_ip: "10.0.0.1".into(),
        account_id: "111122223333".into(),
        image_id: "ami-1".into(),
        architecture: "x86_64".into(),
    };
    assert_eq!(imds.identity().await.unwrap(), expected);
    assert_eq!(imds.clone().get("/latest/meta-data/hostname").await.unwrap(), "ip-10-0-0-1.ec2.internal");
    let tokens = fake.asked().iter().filter(|asked| asked.line.starts_with("PUT")).count();
    assert_eq!(tokens, 1, "one token is enough");
    let error = imds.get("/latest/meta-data/tags/instance").await.unwrap_err();
    assert!(matches!(&error, ImdsError::NotFound { path } if path.ends_with("tags/instance")), "{error}");
}

#[tokio::test]
async fn absent() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = at(&format!("http://127.0.0.1:{port}")).identity().await.unwrap_err();
    assert!(matches!(error, ImdsError::Unreachable(_)), "{error:?}");
    assert!(
        causes(&error).contains("outside EC2, or the instance's metadata hop limit is too low"),
        "{error}"
    );
    assert!(causes(&error).contains("refused"), "{}", causes(&error));
}

/// With a hop limit of one, what comes back from the service does not reach a container: connecting or the answer to
/// the request for a token takes for ever.
#[tokio::test(start_paused = true)]
async fn a_hop_limit_of_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let start = tokio::time::Instant::now();
    let error = at(&url).identity().await.unwrap_err();
    assert!(matches!(error, ImdsError::Unreachable(_)), "{error:?}");
    assert!(start.elapsed() <= TIMEOUT * 3, "{:?}", start.elapsed());
}

#[tokio::test]
async fn switched_off() {
    let fake = Fake::start(|_| (403, "", "<html>no</html>".into()));
    let error = at(&fake.url()).identity().await.unwrap_err();
    assert!(matches!(error, ImdsError::Denied { status: 403 }), "{error:?}");
    assert!(matches!(Imds(None).identity().await, Err(ImdsError::Disabled)));
    let fake = service(|_| (401, String::new()));
    let error = at(&fake.url()).identity().await.unwrap_err();
    assert!(matches!(error, ImdsError::Denied { status: 401 }), "{error:?}");
}

#[tokio::test]
async fn broken() {
    let fake = service(|_| (500, "oops".into()));
    let error = at(&fake.url()).identity().await.unwrap_err();
    assert!(matches!(error, ImdsError::Status { status: 500, .. }), "{error:?}");
}

#[tokio::test]
async fn garbage() {
    // A captive portal: everything is a page.
    let portal = Fake::start(|_| (200, "content-type: text/html\r\n", "<html>log in</html>".into()));
    let error = at(&portal.url()).identity().await.unwrap_err();
    assert!(matches!(&error, ImdsError::Malformed { path, .. } if path.ends_with("token")), "{error:?}");
    let fake = service(|_| (200, r#"{"instanceId":7}"#.into()));
    let error = at(&fake.url()).identity().await.unwrap_err();
    assert!(matches!(&error, ImdsError::Malformed { path, .. } if path == IDENTITY), "{error:?}");
}
