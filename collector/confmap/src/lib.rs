//! Configuration: sources, expansion, merge, spans, typed decoding with every problem reported at once.
//!
//! ```text
//! --config a.yaml ┐                                        ┌ decode::<Exporter>(node, "exporters::otlp")
//! --config env:X  ├ Resolver: parse → merge → expand → Conf ┼ decode::<Receiver>(…)
//! --set a.b=c     ┘                                        └ to_yaml, to_json (redacted)
//! ```
//!
//! [`Resolver`] turns the command line's sources into one tree of [`Node`]s, in which every key and value remembers
//! where it was written. [`decode`] turns a part of the tree into a component's struct. Whatever is wrong becomes a
//! [`Problem`] with its path, its place and, where there is one, the nearest valid name; [`Problems`] holds all of them.
//! The crate does no IO but through [`Environment`], and spawns nothing.
//!
//! # Writing a configuration struct
//!
//! Derive `Deserialize`, put `#[serde(default)]` on the struct and write `Default` with the documented defaults. There
//! is nothing to say about unknown keys: decoding knows the struct's fields and reports the others.
//!
//! ```
//! use confmap::{Duration, Optional, Problems, Secret};
//! use serde::Deserialize;
//!
//! #[derive(Debug, Deserialize)]
//! #[serde(default)]
//! struct Config {
//!     endpoint: String,
//!     timeout: Duration,
//!     api_key: Secret,
//!     sending_queue: Optional<Queue>,
//! }
//!
//! #[derive(Debug, Deserialize)]
//! #[serde(default)]
//! struct Queue {
//!     queue_size: i64,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self {
//!             endpoint: String::new(),
//!             timeout: Duration::from_secs(5),
//!             api_key: Secret::default(),
//!             sending_queue: Optional::some(Queue::default()),
//!         }
//!     }
//! }
//!
//! impl Default for Queue {
//!     fn default() -> Self {
//!         Self { queue_size: 1000 }
//!     }
//! }
//!
//! impl Config {
//!     fn validate(&self, problems: &mut Problems) {
//!         if let Some(queue) = self.sending_queue.as_ref() {
//!             problems.at("sending_queue", |p| {
//!                 if queue.queue_size <= 0 {
//!                     p.at("queue_size", |p| p.report("must be positive"));
//!                 }
//!             });
//!         }
//!     }
//! }
//!
//! let problems = confmap::from_yaml::<Config>("endpiont: h:1\ntimeout: 5x\n").unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "yaml:1:1: has invalid keys: endpiont (did you mean `endpoint`?)\n\
//!      yaml:2:10: timeout: time: unknown unit \"x\" in duration \"5x\""
//! );
//!
//! let config: Config = confmap::from_yaml("sending_queue: {queue_size: 0}").unwrap();
//! let mut problems = Problems::rooted("exporters::otlp");
//! config.validate(&mut problems);
//! assert_eq!(problems.to_string(), "exporters::otlp::sending_queue::queue_size: must be positive");
//! ```
//!
//! | Setting | Type |
//! |---|---|
//! | duration | [`Duration`]; [`GoDuration`] where negative values mean something |
//! | section that may be switched off, or is there with its defaults when merely named | [`Optional`] |
//! | section that is absent unless it says something | `Option<T>`, or `Option<Optional<T>>` when `enabled: false` counts |
//! | section whose defaults differ from its type's own | [`over`] |
//! | password, token | [`Secret`]; headers: [`Headers`] |
//! | log file sizes (`1MiB`) | [`ByteSize`] |
//! | one of several words | a unit-only enum; `#[serde(alias = "")]` on the variant that null and `""` mean |
//! | list of identifiers | `Vec` of a newtype: only plain `Vec<String>` accepts `a,b` |
//! | shape that depends on a value (`type: …`) | [`Node`], decoded again once the value is known |
//!
//! Do not use serde's `flatten`, `untagged` and `tag`: they buffer, and then neither unknown keys nor places are known.
//!
//! A nested struct is completed from **its own** `Default`, not from the value that the enclosing struct's `Default`
//! gives the field. Where the two differ, use [`over`].
//!
//! # Sharing one mapping between blocks
//!
//! Upstream squashes shared blocks (TLS, AWS session, queue) into the component's own level. Here a **tuple decoded from
//! a mapping** means that: every member reads the same mapping and claims the fields of its struct; keys that no member
//! claims are unknown, with suggestions from all of them. Use it with `from`:
//!
//! ```
//! use serde::Deserialize;
//!
//! #[derive(Debug, Default, Deserialize)]
//! #[serde(from = "(Own, Session)")]
//! struct Config {
//!     namespace: String,
//!     session: Session,
//! }
//!
//! #[derive(Debug, Default, Deserialize)]
//! #[serde(default)]
//! struct Own {
//!     namespace: String,
//! }
//!
//! #[derive(Debug, Default, Deserialize)]
//! #[serde(default)]
//! struct Session {
//!     region: String,
//! }
//!
//! impl From<(Own, Session)> for Config {
//!     fn from((own, session): (Own, Session)) -> Self {
//!         Self { namespace: own.namespace, session }
//!     }
//! }
//!
//! let config: Config = confmap::from_yaml("namespace: n\nregion: eu-west-1\n").unwrap();
//! assert_eq!((config.namespace.as_str(), config.session.region.as_str()), ("n", "eu-west-1"));
//! let problems = confmap::from_yaml::<Config>("regoin: eu-west-1\n").unwrap_err();
//! assert_eq!(problems.to_string(), "yaml:1:1: has invalid keys: regoin (did you mean `region`?)");
//! ```
//!
//! Members may be tuples in turn. A member has to be a struct with named fields: a map has no list of fields that it
//! could claim. A tuple decoded from a list is an ordinary tuple.
//!
//! # How values are read
//!
//! | Written | Becomes |
//! |---|---|
//! | null for a number, text, flag, duration | its zero, not the default |
//! | null for a list, map or struct | the default |
//! | `010`, `0x10`, `1_000`, `1.9` for an integer | 8, 16, 1000, 1 |
//! | a number for text, text for a number, `yes` or `on` for a flag | a problem |
//! | a bare number for a duration | nanoseconds |
//! | `${env:X}` as the whole value | the variable's text for text, what YAML makes of it for everything else |
//!
//! # Differences from upstream
//!
//! * Integers out of range are a problem; upstream wraps them silently.
//! * All problems are reported, not the first of each section, with file, line and column; the key phrases of upstream's
//!   messages are kept (`has invalid keys: …`, `expected type '…', got unconvertible type '…'`).
//! * A YAML fault is named first, before `cannot be used as a Conf`.
//! * `${NAME:-default}` is refused as upstream does, and the message says how to write it.
//! * A date is text; upstream makes it a time that no setting accepts.
//! * `http:` and `https:` sources are refused.
//! * Files over 16 MiB, nesting beyond [`MAX_DEPTH`] levels, aliases or references that multiply themselves without
//!   bound are refused.
//! * `file:` content and environment variables that are no UTF-8: the first is refused, the second repaired.
//!
//! # What is redacted
//!
//! [`Conf::to_yaml`] and [`Conf::to_json`] print the tree, which does not know the structs' [`Secret`] fields, so they go
//! by name: a key that contains `password`, `passwd`, `passphrase`, `secret`, `token`, `api_key`, `apikey`,
//! `private_key`, `access_key`, `authorization`, `credential` or `connection_string`, unless it ends in `_file`,
//! `_path`, `_url`, `_name`, `_interval` or the like; keys that end in `_pem`; everything below `headers`; and the
//! password of a URL in any value.

mod decode;
pub mod duration;
mod emit;
mod expand;
mod location;
mod merge;
mod node;
mod optional;
mod print;
mod problems;
mod provider;
mod redact;
mod render;
mod resolve;
mod scalar;
mod secret;
mod size;
mod suggest;
mod yaml;

pub use decode::{decode, from_yaml};
pub use duration::{Duration, DurationError, GoDuration};
pub use location::{Location, Sources};
pub use node::{Key, MAX_DEPTH, Map, Node, NodeKind};
pub use optional::{Optional, over};
pub use print::Redaction;
pub use problems::{DELIMITER, Problem, Problems};
pub use provider::{Environment, System};
pub use resolve::{Conf, Resolver, Warning, WarningKind};
pub use secret::{Headers, REDACTED, Secret};
pub use size::{ByteSize, ByteSizeError};
pub use suggest::nearest;
