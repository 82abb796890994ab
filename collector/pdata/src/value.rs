//! Values of attributes, and how attributes are written.

use crate::AnyValueView;
use crate::wire::{WireType, put_bytes, put_fixed64, put_message, put_tag, put_uint, put_varint, varint_len};

/// An attribute value of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing is set.
    #[default]
    Empty,
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of values.
    Array(Vec<Value>),
    /// A map, in order.
    KeyValues(Vec<(String, Value)>),
}

/// What an attribute can be set to: a [`Value`] or a view of one, text, a number or a truth value.
pub trait AttributeValue: sealed::Put {}

/// Appends an attribute as field `number`.
pub(crate) fn put_pair(out: &mut Vec<u8>, number: u32, key: &str, value: &impl AttributeValue) {
    put_message(out, number, |out| {
        if !key.is_empty() {
            put_bytes(out, 1, key.as_bytes());
        }
        put_message(out, 2, |out| value.put(out));
    });
}

/// Appends an attribute that is text as field 1: [`put_pair`] with all lengths known beforehand.
pub(crate) fn put_text_pair(out: &mut Vec<u8>, key: &str, value: &str) {
    // Nearly all: every length is of one byte.
    if let (1..=60, 0..=59) = (key.len(), value.len()) {
        let (key_len, value_len) = (key.len() as u8, value.len() as u8);
        out.extend_from_slice(&[0x0a, key_len + value_len + 6, 0x0a, key_len]);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(&[0x12, value_len + 2, 0x0a, value_len]);
        out.extend_from_slice(value.as_bytes());
        return;
    }
    let field_len = |len: usize| 1 + varint_len(len as u64) + len;
    let key_len = if key.is_empty() { 0 } else { field_len(key.len()) };
    let value_len = field_len(value.len());
    put_tag(out, 1, WireType::Len);
    put_varint(out, (key_len + field_len(value_len)) as u64);
    if !key.is_empty() {
        put_bytes(out, 1, key.as_bytes());
    }
    put_tag(out, 2, WireType::Len);
    put_varint(out, value_len as u64);
    put_bytes(out, 1, value.as_bytes());
}

impl Value {
    /// Appends the body of an `AnyValue`.
    pub(crate) fn put_body(&self, out: &mut Vec<u8>) {
        sealed::Put::put(self, out);
    }

    /// A view of the value, for what reads views; `memory` holds its bytes.
    pub fn view_in<'m>(&self, memory: &'m mut Vec<u8>) -> AnyValueView<'m> {
        memory.clear();
        self.put_body(memory);
        AnyValueView::parse(memory)
    }
}

mod sealed {
    /// Writes the body of an `AnyValue`.
    #[allow(unreachable_pub, reason = "in the bounds of a public trait")]
    pub trait Put {
        fn put(&self, out: &mut Vec<u8>);
    }
}

impl<T: sealed::Put + ?Sized> AttributeValue for T {}

impl<T: sealed::Put + ?Sized> sealed::Put for &T {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

impl sealed::Put for str {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, 1, self.as_bytes());
    }
}

impl sealed::Put for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl sealed::Put for bool {
    fn put(&self, out: &mut Vec<u8>) {
        put_uint(out, 2, u64::from(*self));
    }
}

impl sealed::Put for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_uint(out, 3, *self as u64);
    }
}

impl sealed::Put for f64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_fixed64(out, 4, self.to_bits());
    }
}

impl sealed::Put for Value {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::String(text) => text.put(out),
            Self::Bool(value) => value.put(out),
            Self::Int(value) => value.put(out),
            Self::Double(value) => value.put(out),
            Self::Bytes(bytes) => put_bytes(out, 7, bytes),
            Self::Array(values) => put_message(out, 5, |out| {
                values.iter().for_each(|value| put_message(out, 1, |out| value.put(out)));
            }),
            Self::KeyValues(pairs) => put_message(out, 6, |out| {
                pairs.iter().for_each(|(key, value)| put_pair(out, 1, key, value));
            }),
        }
    }
}

impl sealed::Put for AnyValueView<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Empty => {}
            Self::String(text) => text.put(out),
            Self::Bool(value) => value.put(out),
            Self::Int(value) => value.put(out),
            Self::Double(value) => value.put(out),
            Self::Bytes(bytes) => put_bytes(out, 7, bytes),
            Self::Array(array) => put_message(out, 5, |out| {
                array.values().for_each(|value| put_message(out, 1, |out| value.put(out)));
            }),
            Self::KeyValues(pairs) => put_message(out, 6, |out| {
                pairs.for_each(|pair| put_bytes(out, 1, pair.encoded));
            }),
        }
    }
}

impl From<AnyValueView<'_>> for Value {
    fn from(view: AnyValueView<'_>) -> Self {
        match view {
            AnyValueView::Empty => Self::Empty,
            AnyValueView::String(text) => Self::String(text.to_owned()),
            AnyValueView::Bool(value) => Self::Bool(value),
            AnyValueView::Int(value) => Self::Int(value),
            AnyValueView::Double(value) => Self::Double(value),
            AnyValueView::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            AnyValueView::Array(array) => Self::Array(array.values().map(Self::from).collect()),
            AnyValueView::KeyValues(pairs) => {
                Self::KeyValues(pairs.map(|pair| (pair.key.to_owned(), Self::from(pair.value))).collect())
            }
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from!(String => String, &str => String, bool => Bool, i64 => Int, f64 => Double, Vec<u8> => Bytes);
