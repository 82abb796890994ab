//! Configuration: sources, expansion, merge, spans, typed decoding with every problem reported at once.

mod decode;
pub mod duration;
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
mod suggest;
mod yaml;

pub use decode::{decode, from_yaml};
pub use duration::{Duration, DurationError, GoDuration};
pub use location::{Location, Sources};
pub use node::{Key, MAX_DEPTH, Map, Node, NodeKind};
pub use optional::{Optional, over};
pub use print::{PrintError, Redaction};
pub use problems::{DELIMITER, Problem, Problems};
pub use provider::{Environment, System};
pub use resolve::{Conf, Resolver, Warning, WarningKind};
pub use suggest::nearest;
pub use secret::{Headers, REDACTED, Secret};
