//! Log records of WAF, however they are delivered.

use serde_json::{Deserializer, Value};

/// The records in `text`: one, or several on lines of their own as Firehose and S3 hold them, or what
/// CloudWatch Logs sends to a subscription, decompressed; of that, its control messages hold none.
///
/// # Errors
/// When it is not JSON.
pub fn records(text: &str) -> serde_json::Result<Vec<Value>> {
    let mut records = Vec::new();
    for document in Deserializer::from_str(text).into_iter() {
        let document: Value = document?;
        match (
            document["messageType"].as_str(),
            document["logEvents"].as_array(),
        ) {
            (Some("DATA_MESSAGE"), Some(events)) => {
                let messages = events.iter().filter_map(|event| event["message"].as_str());
                for message in messages {
                    records.push(serde_json::from_str(message)?);
                }
            }
            (Some(_), _) => {}
            (None, _) => records.push(document),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_found_however_they_are_delivered() {
        let (one, two) = (json!({"action": "BLOCK"}), json!({"action": "ALLOW"}));
        let both = vec![one.clone(), two.clone()];
        assert_eq!(records(&format!("{one}\n{two}\n")).unwrap(), both);
        assert_eq!(records(&format!("{one:#}")).unwrap(), both[..1]);
        let events = [
            json!({"message": one.to_string()}),
            json!({"message": two.to_string()}),
        ];
        let sent = json!({"messageType": "DATA_MESSAGE", "logEvents": events});
        assert_eq!(records(&sent.to_string()).unwrap(), both);
        let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "CWL"}]});
        assert_eq!(records(&control.to_string()).unwrap(), [Value::Null; 0]);
        assert_eq!(records("").unwrap(), [Value::Null; 0]);
        assert!(records("{\"action\": ").is_err());
    }
}
