//! Statuses to and from tonic's, which knows how they travel.

use std::fmt;

use bytes::Bytes;
use component::Code;

use crate::Status;

impl From<Status> for tonic::Status {
    fn from(status: Status) -> Self {
        let code = tonic::Code::from_i32(status.code as i32);
        let details = match status.retry_after {
            Some(_) => Bytes::from(status.to_protobuf()),
            None => Bytes::new(),
        };
        Self::with_details(code, status.message, details)
    }
}

/// tonic's own errors about messages become upstream's.
impl From<&tonic::Status> for Status {
    fn from(status: &tonic::Status) -> Self {
        if let Some(status) = upstreams(status) {
            return status;
        }
        Self {
            code: Code::from_number(i32::from(status.code())).unwrap_or(Code::Unknown),
            message: status.message().to_owned(),
            retry_after: Self::from_protobuf(status.details()).and_then(|status| status.retry_after),
        }
    }
}

/// The message does not fit when decompressed.
pub(super) fn too_large_decompressed(limit: impl fmt::Display) -> Status {
    Status::new(
        Code::ResourceExhausted,
        format!("grpc: received message after decompression larger than max {limit}"),
    )
}

/// The message is not what its encoding says.
pub(super) fn not_decompressed(error: impl fmt::Display) -> Status {
    Status::new(Code::Internal, format!("grpc: failed to decompress the received message: {error}"))
}

/// What grpc-go says where tonic says the same with another code or in other words. A client must not try again what
/// is too large, and tonic's OUT_OF_RANGE would tell it to.
fn upstreams(status: &tonic::Status) -> Option<Status> {
    let message = status.message();
    match status.code() {
        tonic::Code::OutOfRange => {
            let sizes = message.strip_prefix("Error, decoded message length too large: found ")?;
            let (len, limit) = sizes.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
            let message = format!("grpc: received message larger than max ({len} vs. {limit})");
            Some(Status::new(Code::ResourceExhausted, message))
        }
        tonic::Code::ResourceExhausted => {
            let limit = message.strip_prefix("Error decompressing: size limit, of ")?;
            Some(too_large_decompressed(limit.split_once(' ')?.0))
        }
        tonic::Code::Internal => {
            let error = message.strip_prefix("Error decompressing: ")?;
            Some(not_decompressed(error.rsplit_once(", while ").map_or(error, |(error, _)| error)))
        }
        tonic::Code::Unimplemented => {
            let name = message.strip_prefix("Content is compressed with `")?;
            let name = name.strip_suffix("` which isn't supported")?;
            let message = format!("grpc: Decompressor is not installed for grpc-encoding {name:?}");
            Some(Status::new(Code::Unimplemented, message))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;

    #[test]
    fn statuses_travel_in_headers() {
        for (message, retry_after) in
            [("", None), ("50 % full\nümlaut", None), ("later", Some(Duration::from_secs(7)))]
        {
            let status = Status { retry_after, ..Status::new(Code::Unavailable, message) };
            let mut headers = HeaderMap::new();
            tonic::Status::from(status.clone()).add_header(&mut headers).unwrap();
            assert_eq!(Status::from(&tonic::Status::from_header_map(&headers).unwrap()), status);
        }
    }

    #[test]
    fn errors_of_tonic_are_upstreams() {
        let check = |status: tonic::Status, code: Code, message: &str| {
            assert_eq!(Status::from(&status), Status::new(code, message));
        };
        check(
            tonic::Status::internal("Error decompressing: bad, while receiving response with status: 200 OK"),
            Code::Internal,
            "grpc: failed to decompress the received message: bad",
        );
        check(tonic::Status::out_of_range("seek"), Code::OutOfRange, "seek");
        check(tonic::Status::ok(""), Code::Unknown, "");
    }
}
