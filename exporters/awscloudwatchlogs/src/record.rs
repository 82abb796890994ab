//! Log records as JSON objects.

use helper::text::{write_json, write_json_map, write_json_string};
use pdata::logs::LogRecordView;
use pdata::{AnyValueView, KeyValues, ScopeView};

/// What the events of one scope end with: `"scope":{…},"resource":{…}`, each only if there is something to say. `None`
/// when it holds a number that JSON cannot express; then none of the records can be written.
pub(crate) fn context(scope: ScopeView<'_>, resource: Option<&str>) -> Option<String> {
    let resource = resource?;
    let mut out = String::new();
    if !scope.name.is_empty() {
        out.push_str("\"scope\":{\"name\":");
        write_json_string(&mut out, scope.name);
        if !scope.version.is_empty() {
            out.push_str(",\"version\":");
            write_json_string(&mut out, scope.version);
        }
        if !write_attributes(&mut out, "attributes", scope.attributes()) {
            return None;
        }
        out.push('}');
        if !resource.is_empty() {
            out.push(',');
        }
    }
    out.push_str(resource);
    Some(out)
}

/// `"resource":{…}`, or nothing for a resource without attributes. `None` as for [`context`].
pub(crate) fn resource_member(attributes: KeyValues<'_>) -> Option<String> {
    let mut out = String::new();
    write_attributes(&mut out, "resource", attributes).then_some(out)
}

/// Writes a record as a JSON object that ends with `context`. `false` when it holds a number that JSON cannot express.
pub(crate) fn write_record(out: &mut String, record: &LogRecordView<'_>, context: &str) -> bool {
    out.clear();
    out.push('{');
    if !matches!(record.body, AnyValueView::Empty) {
        write_key(out, "body");
        if !write_json(out, record.body) {
            return false;
        }
    }
    write_number(out, "severity_number", record.severity_number.into());
    if !record.severity_text.is_empty() {
        write_key(out, "severity_text");
        write_json_string(out, record.severity_text);
    }
    write_number(out, "dropped_attributes_count", record.dropped_attributes_count.into());
    write_number(out, "flags", record.flags.into());
    write_id(out, "trace_id", record.trace_id);
    write_id(out, "span_id", record.span_id);
    if !write_attributes(out, "attributes", record.attributes()) {
        return false;
    }
    if !context.is_empty() {
        write_comma(out);
        out.push_str(context);
    }
    out.push('}');
    true
}

/// Appends a member that is left out when there are no attributes.
fn write_attributes(out: &mut String, key: &str, mut attributes: KeyValues<'_>) -> bool {
    let all = attributes;
    if attributes.next().is_none() {
        return true;
    }
    write_key(out, key);
    write_json_map(out, all)
}

fn write_number(out: &mut String, key: &str, number: i64) {
    if number != 0 {
        write_key(out, key);
        write_json(out, AnyValueView::Int(number));
    }
}

fn write_id(out: &mut String, key: &str, id: &[u8]) {
    if id.iter().all(|byte| *byte == 0) {
        return;
    }
    write_key(out, key);
    out.push('"');
    for half in id.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        out.push(char::from_digit(half.into(), 16).unwrap_or('0'));
    }
    out.push('"');
}

/// Appends the key of the next member.
fn write_key(out: &mut String, key: &str) {
    write_comma(out);
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
}

/// Separates the next member from the one before it, if there is one.
fn write_comma(out: &mut String) {
    if !out.is_empty() && !out.ends_with('{') {
        out.push(',');
    }
}
