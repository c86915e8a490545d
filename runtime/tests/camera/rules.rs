//! Rules that are edited on the page.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::place::{Place, Running, get, state, stderr, until};
use crate::teach::{JSON, send};

fn put(at: &str, headers: &str, rules: &Value) -> (u16, String) {
    send(at, "PUT /api/rules", headers, json!({ "rules": rules }).to_string().as_bytes())
}

#[test]
fn rules_are_edited_kept_and_told_to_the_webhook() {
    let place = Place::new();
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", hook.local_addr().unwrap());
    let words = format!("--input photos/1.png --fps 50 --listen 0 --rules rules.json --webhook {url}");
    let mut running = Running::start(&place, &words);
    let at = running.page();
    until(&at, |s| s["classified"].as_u64() > Some(3));
    assert_eq!((&state(&at)["rules"], &state(&at)["rules_file"]), (&json!([]), &"rules.json".into()));
    assert_eq!(put(&at, JSON, &json!(["a > 0 for 3 frames", "nobody > 0.5"])).0, 204);
    let (mut stream, _) = hook.accept().unwrap();
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while !text.ends_with(b"}") {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0);
        text.extend(&piece[..n]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(String::from_utf8_lossy(&text).contains("\"rule\":\"a > 0 for 3 frames\""));
    let rules = until(&at, |s| s["rules"][0]["holds"] == true)["rules"].clone();
    assert_eq!((&rules[0]["editable"], &rules[1]["known"]), (&true.into(), &false.into()));
    // What is no rule changes nothing.
    let kept = std::fs::read(place.path("rules.json")).unwrap();
    for (rules, code, says) in [
        (json!(["a"]), 400, "a rule reads as"),
        (json!(["a > 0.5", "a > 7"]), 400, "0 to 1"),
        (json!(vec!["a > 0.5"; 51]), 400, "at most 50"),
        (json!(["x".repeat(40_000)]), 413, "too large"),
        (json!("a > 0.5"), 400, "sequence"),
    ] {
        let (found, said) = put(&at, JSON, &rules);
        assert!(found == code && said.contains(says), "{says}: {found} {said}");
    }
    assert_eq!(put(&at, "", &json!([])).0, 415);
    assert_eq!(std::fs::read(place.path("rules.json")).unwrap(), kept);
    // The disk is gone.
    std::fs::remove_file(place.path("rules.json")).unwrap();
    std::fs::create_dir(place.path("rules.json")).unwrap();
    let (code, said) = put(&at, JSON, &json!([]));
    assert!(code == 507 && said.contains("rules.json"), "{code} {said}");
    assert_eq!(state(&at)["rules"].as_array().unwrap().len(), 2);
    std::fs::remove_dir(place.path("rules.json")).unwrap();
    std::fs::write(place.path("rules.json"), &kept).unwrap();
    running.ends_well();
    // After a restart they are there, beside those of the command line.
    let mut command = place.command("--input photos/1.png --fps 50 --listen 0 --rules rules.json --webhook");
    command.args([&url, "--when", "a > 0.99"]);
    let mut running = Running::of(command);
    let at = running.page();
    let rules = until(&at, |s| s["rules"].as_array().unwrap().len() == 3)["rules"].clone();
    let editable: Vec<&Value> = rules.as_array().unwrap().iter().map(|rule| &rule["editable"]).collect();
    assert_eq!(editable, [false, true, true]);
    running.ends_well();
}

#[test]
fn rules_need_a_file_and_a_token() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --fps 20 --listen 0");
    let at = running.page();
    let (code, said) = put(&at, JSON, &json!([]));
    assert!(code == 409 && said.contains("--rules FILE"), "{code} {said}");
    assert!(until(&at, |s| s["alive"] == true)["rules_file"].is_null());
    running.ends_well();
    let words = "--input photos --fps 20 --listen 0.0.0.0:0 --token correct-horse --rules rules.json";
    let mut running = Running::start(&place, words);
    let at = running.page().replace("0.0.0.0", "127.0.0.1");
    let wrong = format!("{JSON}Authorization: Bearer battery-staple\r\n");
    assert_eq!((put(&at, JSON, &json!([])).0, put(&at, &wrong, &json!([])).0), (401, 401));
    assert!(!place.path("rules.json").exists() && get(&at, "/api/state", "").starts_with("HTTP/1.1 401"));
    running.ends_well();
    std::fs::write(place.path("rules.json"), "{\"rules\": [\"a\"]}").unwrap();
    let output = place.run("--input photos --listen 0 --rules rules.json");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("rules.json: not a file of rules"), "{}", stderr(&output));
}
