//! What the API server and the kubelet answer, decoded as it arrives: no more than one object is held as text.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::row::{BookmarkObject, Decoded, Row, Text, Uid};
use crate::split::{LineSplitter, ListSplitter, Piece};
use crate::{Error, Interner, Projection};

/// Marks the bookmark that ends the objects that a streamed list begins with.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Reads a list: one JSON object, however it was cut.
#[derive(Debug, Default)]
pub struct ListReader {
    splitter: ListSplitter,
    meta: ListMeta,
}

/// Reads the answer of a watch: one event in each line, however it was cut.
#[derive(Debug, Default)]
pub struct EventReader {
    lines: LineSplitter,
}

/// An event of a watch.
#[derive(Debug)]
pub enum Event<R> {
    /// An object is there, new or changed.
    Applied(Decoded<R>),
    /// An object is there, but cannot be decoded.
    Undecodable {
        /// The version of the object.
        version: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// An object is gone.
    Deleted {
        /// Its namespace; empty if it lived in none.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: Uid,
        /// The version of its deletion.
        version: String,
    },
    /// Everything up to a version was sent.
    Bookmark {
        /// The version.
        version: String,
        /// Whether the objects that a streamed list begins with are complete.
        initial_events_end: bool,
    },
}

#[derive(Deserialize)]
struct EventObject<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusObject {
    code: u16,
    reason: String,
    message: String,
}

/// What a list says besides its items.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListMeta {
    /// The version that the list shows.
    pub resource_version: String,
    /// How to ask for the next page; empty on the last.
    #[serde(rename = "continue")]
    pub next: String,
}

impl ListReader {
    /// Takes what arrived; gives each item that is complete, or why it cannot be decoded, to `take`.
    ///
    /// # Errors
    /// That of `take`, or that this is no list.
    pub fn feed<R: Row>(
        &mut self,
        bytes: &[u8],
        projection: &Projection,
        interner: &Interner,
        mut take: impl FnMut(serde_json::Result<R>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.feed_text(bytes, |item| {
            take(R::from_json(item, projection, interner).map(|decoded| decoded.row))
        })
    }

    /// Takes what arrived; gives the text of each item that is complete to `take`.
    pub(crate) fn feed_text(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { splitter, meta } = self;
        splitter.feed(bytes, |piece| match piece {
            Piece::Item(item) => take(item),
            Piece::Field("metadata", value) => {
                *meta = serde_json::from_slice(value).map_err(Error::Malformed)?;
                Ok(())
            }
            Piece::Field(..) => Ok(()),
        })
    }

    /// The answer ended.
    ///
    /// # Errors
    /// [`Error::CutOff`] if the list did not.
    pub fn finish(self) -> Result<ListMeta, Error> {
        self.splitter.finish()?;
        Ok(self.meta)
    }
}

impl EventReader {
    /// Takes what arrived; gives each event that is complete to `take`.
    ///
    /// # Errors
    /// What the server says of an error, or that this is no event.
    pub fn feed<R: Row>(
        &mut self,
        bytes: &[u8],
        projection: &Projection,
        interner: &Interner,
        mut take: impl FnMut(Event<R>),
    ) -> Result<(), Error> {
        self.lines.feed(bytes, |line| {
            if let Some(event) = event(line, projection, interner)? {
                take(event);
            }
            Ok(())
        })
    }
}

/// Reads a line of a watch; `None` if it is empty.
fn event<R: Row>(
    line: &[u8],
    projection: &Projection,
    interner: &Interner,
) -> Result<Option<Event<R>>, Error> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let EventObject { kind, object } = serde_json::from_slice(line).map_err(|error| {
        if line.starts_with(b"{") { Error::Malformed(error) } else { crate::split::unexpected(0, line) }
    })?;
    let json = object.get().as_bytes();
    match kind.as_str() {
        "ADDED" | "MODIFIED" => match R::from_json(json, projection, interner) {
            Ok(decoded) => Ok(Some(Event::Applied(decoded))),
            Err(error) => Ok(Some(Event::Undecodable { version: metadata(json)?.metadata.version(), error })),
        },
        "DELETED" => {
            let BookmarkObject { metadata } = metadata(json)?;
            Ok(Some(Event::Deleted {
                namespace: metadata.namespace.as_str().to_owned(),
                name: metadata.name.as_str().to_owned(),
                uid: Uid::new(metadata.uid.as_str()),
                version: metadata.version(),
            }))
        }
        "BOOKMARK" => {
            let BookmarkObject { metadata } = metadata(json)?;
            let end = metadata.annotations.text(INITIAL_EVENTS_END);
            Ok(Some(Event::Bookmark {
                version: metadata.version(),
                initial_events_end: end.is_some_and(|end| end.as_str() == "true"),
            }))
        }
        "ERROR" => {
            let status: StatusObject = serde_json::from_slice(json).map_err(Error::Malformed)?;
            Err(match (status.code, status.reason.as_str()) {
                (410, _) | (_, "Expired" | "Gone") => Error::Gone,
                (429, _) => Error::Busy { retry_after: None },
                (code, _) => Error::Status { status: code, message: status.message },
            })
        }
        // An event of a kind to come: the objects it may speak of are in the next list.
        _ => Ok(None),
    }
}

fn metadata(json: &[u8]) -> Result<BookmarkObject<'_>, Error> {
    serde_json::from_slice(json).map_err(Error::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Pod;

    fn read(line: &str) -> Result<Option<Event<Pod>>, Error> {
        event(line.as_bytes(), &Projection::all(), &Interner::default())
    }

    #[test]
    fn events() {
        fn check(line: &str, expected: &str) {
            let found = match read(line) {
                Ok(None) => "nothing".to_owned(),
                Ok(Some(Event::Applied(Decoded { row, version }))) => {
                    format!("{} at {version}", row.meta.name)
                }
                Ok(Some(Event::Undecodable { version, error })) => {
                    format!("undecodable at {version}: {error}")
                }
                Ok(Some(Event::Deleted { namespace, name, uid, version })) => {
                    format!("deleted {namespace}/{name} {uid} at {version}")
                }
                Ok(Some(Event::Bookmark { version, initial_events_end })) => {
                    format!("bookmark {version} {initial_events_end}")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{line}");
        }
        check("\n", "nothing");
        check(
            r#"{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7"}}}"#,
            "a at 7",
        );
        check(
            r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"8"},"spec":null}}"#,
            "a at 8",
        );
        check(
            r#"{"object":{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"9"}},"type":"DELETED"}"#,
            "deleted n/a u at 9",
        );
        check(
            r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"10","creationTimestamp":null}}}"#,
            "bookmark 10 false",
        );
        check(
            r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"10","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
            "bookmark 10 true",
        );
        check(
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#,
            "the version asked for is too old",
        );
        check(
            r#"{"type":"ERROR","object":{"kind":"Status","code":500,"message":"oops"}}"#,
            "the server answered 500: oops",
        );
        check(r#"{"type":"NEW","object":{}}"#, "nothing");
        check(
            r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"},"spec":{"nodeName":[]}}}"#,
            "undecodable at 7: invalid type: sequence, expected a string at line 1 column 68",
        );
        check("<html>", "not JSON at byte 0: \"<html>\"");
        check(r#"{"type":"ADDED"}"#, "cannot understand the answer of the server");
    }
}
