//! The messages by which Home Assistant finds the camera by itself.
//!
//! Topics and identifiers are made of plain characters; names are shown as they are written. What says how the
//! camera is doing, not what it sees, is diagnostic.

use serde_json::{Value, json};

use super::mqtt::Topics;
use crate::rule::Rule;

/// A part of a topic or of an identifier: nothing that has a meaning there.
pub fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(64).map(plain).collect()
}

/// The slugs of rules, each of its own: `cat > 0.8 for 5 frames` is `cat_above_0_8_for_5_frames`.
pub fn rule_slugs(rules: &[Rule]) -> Vec<String> {
    let mut slugs: Vec<String> = Vec::new();
    for rule in rules {
        let words = rule.text.replace('>', " above ").replace('<', " below ");
        let plain = slug(&words.split_whitespace().collect::<Vec<_>>().join("_"));
        let twin = |n: usize| if n == 1 { plain.clone() } else { format!("{plain}_{n}") };
        let free = (1..).map(twin).find(|slug| !slugs.contains(slug));
        slugs.extend(free);
    }
    slugs
}

/// Topics and texts.
pub fn discovery(topics: &Topics, rules: &[Rule], source: &str) -> Vec<(String, String)> {
    let id = format!("foldnet_{}", topics.slug);
    let entity = |component: &str, key: &str, title: &str, more: Value| {
        let mut config = json!({
            "name": title,
            "unique_id": format!("{id}_{key}"),
            "availability_topic": topics.status,
            "device": {
                "identifiers": [id],
                "name": topics.name,
                "manufacturer": "Foldnet",
                "model": source,
                "sw_version": env!("CARGO_PKG_VERSION"),
            },
        });
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        (format!("homeassistant/{component}/{id}/{key}/config"), config.to_string())
    };
    let state = &topics.state;
    let measured = |template: &str, unit: &str, class: Option<&str>, diagnostic: bool| {
        let mut config = json!({
            "state_topic": state,
            "value_template": template,
            "unit_of_measurement": unit,
            "state_class": "measurement",
        });
        if let Some(class) = class {
            config["device_class"] = class.into();
        }
        if diagnostic {
            config["entity_category"] = "diagnostic".into();
        }
        config
    };
    let mut all = vec![
        entity(
            "sensor",
            "label",
            "Label",
            json!({
                "state_topic": state,
                "value_template": "{{ value_json.label }}",
                "json_attributes_topic": state,
            }),
        ),
        entity(
            "sensor",
            "score",
            "Score",
            measured("{{ (100 * (value_json.score or 0)) | round(1) }}", "%", None, false),
        ),
        entity(
            "image",
            "image",
            "Image",
            json!({ "image_topic": topics.image, "content_type": "image/jpeg" }),
        ),
        entity(
            "sensor",
            "fps",
            "Frames a second",
            measured("{{ value_json.fps | round(1) }}", "1/s", None, true),
        ),
        entity(
            "sensor",
            "latency",
            "Age at the label",
            measured("{{ value_json.latency_ms | round(1) }}", "ms", Some("duration"), true),
        ),
        entity(
            "sensor",
            "temperature",
            "Temperature",
            measured("{{ value_json.temperature }}", "°C", Some("temperature"), true),
        ),
        entity(
            "binary_sensor",
            "alive",
            "Frames coming",
            json!({
                "state_topic": state,
                "value_template": "{{ 'ON' if value_json.alive else 'OFF' }}",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
            }),
        ),
    ];
    for (rule, (slug, topic)) in rules.iter().zip(rule_slugs(rules).iter().zip(&topics.rules)) {
        let key = format!("rule_{slug}");
        all.push(entity("binary_sensor", &key, &rule.text, json!({ "state_topic": topic })));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn names_keep_their_spelling_and_topics_their_place() {
        assert_eq!(slug("front door/+#é"), "front_door____");
        let rules = rules(&["cat > 0.8 for 5 seconds", "Küche/+# < 0.5"]);
        let topics = Topics::new("home", "Küche Süd/+", &rules);
        assert_eq!(topics.state, "home/K_che_S_d__/state");
        let all = discovery(&topics, &rules, "net.onnx");
        assert_eq!(all.len(), 9);
        let config = |key: &str| -> Value {
            let found = all.iter().find(|(topic, _)| topic.ends_with(&format!("/{key}/config")));
            serde_json::from_str(&found.unwrap_or_else(|| panic!("no {key} in {all:?}")).1).unwrap()
        };
        for (topic, text) in &all {
            let parts: Vec<&str> = topic.split('/').collect();
            assert_eq!(
                (parts[0], parts[2], parts.len()),
                ("homeassistant", "foldnet_K_che_S_d__", 5),
                "{topic}"
            );
            assert!(!topic.contains(['+', '#']) && topic.is_ascii(), "{topic}");
            let config: Value = serde_json::from_str(text).unwrap();
            assert_eq!(config["device"]["name"], "Küche Süd/+");
            assert_eq!(config["availability_topic"], "home/K_che_S_d__/status");
            let diagnostic =
                ["/fps/", "/latency/", "/temperature/", "/alive/"].iter().any(|k| topic.contains(k));
            assert_eq!(config["entity_category"] == "diagnostic", diagnostic, "{topic}");
        }
        assert_eq!(config("image")["image_topic"], "home/K_che_S_d__/image");
        let cat = config("rule_cat_above_0_8_for_5_seconds");
        assert_eq!(
            (&cat["name"], &cat["state_topic"]),
            (&"cat > 0.8 for 5 seconds".into(), &"home/K_che_S_d__/rules/cat_above_0_8_for_5_seconds".into())
        );
        assert_eq!(config("rule_K_che____below_0_5")["name"], "Küche/+# < 0.5");
    }

    #[test]
    fn rules_that_look_alike_have_topics_of_their_own() {
        let slugs = rule_slugs(&rules(&["a > 0.5", "a < 0.5", "a>0.5", "ä > 0.5", "ö > 0.5"]));
        assert_eq!(slugs, ["a_above_0_5", "a_below_0_5", "a_above_0_5_2", "__above_0_5", "__above_0_5_2"]);
    }
}
