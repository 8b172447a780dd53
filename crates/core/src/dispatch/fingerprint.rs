//! What tells one command from another under the same id.

use std::fmt::Write;

use serde_json::Value;
use uuid::Uuid;

use crate::{Aggregate, CodecError, CommandMark, CommandSet, Routed};

const NAMESPACE: Uuid = Uuid::from_u128(0x6f72_6461_696e_4066_a1b2_636f_6d6d_616e);

/// The mark of a command: name, version, and a digest of its content.
pub(crate) fn mark_of<A: Aggregate>(command: &Routed<A>) -> Result<CommandMark, CodecError> {
    let (name, version, own) = match command {
        Routed::Decide(command) => (command.name(), command.version(), command.fingerprint()),
        Routed::Outside(command) => (command.name(), command.version(), command.fingerprint()),
    };
    let fingerprint = match own {
        Some(fingerprint) => fingerprint,
        None => digest(&to_json(command)?),
    };
    Ok(CommandMark::new(name, version, fingerprint))
}

fn to_json<A: Aggregate>(command: &Routed<A>) -> Result<Value, CodecError> {
    let json = match command {
        Routed::Decide(command) => command.to_json(),
        Routed::Outside(command) => command.to_json(),
    };
    json.map_err(CodecError::encode)
}

fn digest(json: &Value) -> String {
    let mut text = String::new();
    write_sorted(json, &mut text);
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
        .simple()
        .to_string()
}

/// Writes JSON with sorted keys, whatever order the map keeps them in.
fn write_sorted(json: &Value, text: &mut String) {
    match json {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in entries {
                // Writing into a `String` cannot fail.
                let _ = write!(text, "{}:", Value::from(key.as_str()));
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for value in list {
                write_sorted(value, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => {
            let _ = write!(text, "{plain}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::digest;

    #[test]
    fn the_digest_depends_on_content_and_not_on_the_order_of_keys() {
        let left = r#"{"a":1,"b":{"x":[1,2],"y":null}}"#;
        let right = r#"{"b":{"y":null,"x":[1,2]},"a":1}"#;
        let parse = |text| serde_json::from_str(text).unwrap();
        assert_eq!(digest(&parse(left)), digest(&parse(right)));
        assert_ne!(digest(&json!({"a": [1, 2]})), digest(&json!({"a": [2, 1]})));
        assert_ne!(digest(&json!({"a": "1"})), digest(&json!({"a": 1})));
    }
}
