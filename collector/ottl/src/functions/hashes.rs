//! Functions that give a hash of a string.

use pdata::Value;
use sha2::{Digest, Sha256, Sha512};

use super::{Converter, Takes, parameter};
use crate::compile::Arguments;
use crate::value::{Val, hex};
use crate::{Env, EvalError};

const TARGET: &[super::Parameter] = &[parameter("target", Takes::Any)];

/// Offset basis and prime of FNV with 64 bits. Source: RFC 9923, "FNV constants".
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// All of them.
pub(crate) const CONVERTERS: &[Converter] = &[
    Converter { name: "FNV", parameters: TARGET, run: fnv },
    Converter { name: "SHA256", parameters: TARGET, run: digest::<Sha256> },
    Converter { name: "SHA512", parameters: TARGET, run: digest::<Sha512> },
];

type Converted<'v> = Result<Val<'v>, EvalError>;

fn digest<'v, D: Digest>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    Ok(Value::String(hex(&D::digest(arguments.text(0, env)?.as_bytes()))).into())
}

/// FNV-1a, as a signed number.
fn fnv<'v>(arguments: &'v Arguments, env: &'v Env<'_, '_>) -> Converted<'v> {
    let (basis, prime) = FNV;
    let text = arguments.text(0, env)?;
    let hash = text.bytes().fold(basis, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(prime));
    Ok(Value::Int(hash.cast_signed()).into())
}
