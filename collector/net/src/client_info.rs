//! Who sent a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, header};
use pdata::ClientInfo;

/// The peer and, where they are kept, the headers. The HTTP/2 authority counts as the `host` header.
pub fn client_info(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    authority: Option<&str>,
    include_metadata: bool,
) -> Arc<ClientInfo> {
    let metadata = if include_metadata { metadata(headers, authority) } else { Vec::new() };
    Arc::new(ClientInfo { address: peer, metadata })
}

fn metadata(headers: &HeaderMap, authority: Option<&str>) -> Vec<(String, Vec<String>)> {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        all.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    if let Some(authority) = authority {
        all.entry(header::HOST.as_str()).or_insert_with(|| vec![authority.to_owned()]);
    }
    all.into_iter().map(|(name, values)| (name.to_owned(), values)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_kept_only_on_demand() {
        let mut headers = HeaderMap::new();
        headers.append("X-Tenant", "a".parse().unwrap());
        headers.append("X-Tenant", "b".parse().unwrap());
        let peer = Some(([127, 0, 0, 1], 5).into());
        assert_eq!(
            *client_info(peer, &headers, Some("h"), false),
            ClientInfo { address: peer, metadata: vec![] }
        );
        let metadata = client_info(peer, &headers, Some("h"), true).metadata.clone();
        let text = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(metadata, [("host".into(), text(&["h"])), ("x-tenant".into(), text(&["a", "b"]))]);
    }
}
