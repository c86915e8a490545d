//! What goes elsewhere: MQTT, webhooks, kept frames, metrics.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::broker::{Broker, encrypted, tls};
use crate::place::{Place, Running, body, get, until};

const STATE: &str = "home/garden/state";
const STATUS: &str = "home/garden/status";

#[test]
fn a_broker_hears_labels_and_may_go_and_come_back() {
    let place = Place::new();
    let broker = Broker::new(None);
    let address = broker.address;
    let words = format!(
        "--input photos --fps 50 --mqtt mqtt://me:secret@{address}/home --mqtt-name garden --listen 0 -v"
    );
    let mut running = Running::start(&place, &words);
    let mut client = broker.welcome();
    let will = client.hello.will.clone().unwrap();
    assert_eq!((will.topic.as_str(), will.text.as_str(), will.retained), (STATUS, "offline", true));
    assert_eq!(client.hello.login, Some(("me".into(), "secret".into())));
    // Home Assistant's messages come first, each whole in itself.
    let mut found = Vec::new();
    let online = loop {
        let message = client.next().unwrap().unwrap();
        assert!(message.retained);
        if message.topic == STATUS {
            break message.text;
        }
        let config: Value = serde_json::from_str(&message.text).unwrap();
        let id = config["unique_id"].as_str().unwrap().strip_prefix("foldnet_garden_").unwrap();
        let kind = message.topic.strip_prefix("homeassistant/").unwrap().split_once('/').unwrap();
        assert_eq!(kind.1, format!("foldnet_garden/{id}/config"));
        let from = config["state_topic"].as_str().or(config["image_topic"].as_str()).unwrap();
        assert!(from.starts_with("home/garden/"), "{config}");
        assert_eq!(&config["availability_topic"], STATUS);
        assert_eq!(
            (&config["device"]["model"], &config["device"]["name"]),
            (&"x.onnx".into(), &"garden".into())
        );
        found.push(format!("{} {}", kind.0, config["name"].as_str().unwrap()));
    };
    assert_eq!(online, "online");
    assert_eq!(
        found,
        [
            "sensor Label",
            "sensor Score",
            "image Image",
            "sensor Frames a second",
            "sensor Age at the label",
            "sensor Temperature",
            "binary_sensor Frames coming"
        ]
    );
    let state: Value = serde_json::from_str(&client.hears(STATE)).unwrap();
    assert!(state["label"].is_string() && state["alive"] == true, "{state}");
    assert_eq!(state["labels"].as_array().unwrap().len(), 4);
    let at = running.page();
    assert_eq!(until(&at, |s| s["mqtt"] == true)["mqtt"], true);
    // Away, and back: everything is said anew, to a broker that has forgotten it.
    drop((client, broker));
    until(&at, |s| s["mqtt"] == false);
    let broker = Broker::again(address);
    let mut client = broker.welcome();
    assert_eq!(client.hears(STATUS), "online");
    client.hears(STATE);
    // A good-bye of its own, not the last will.
    let listening = std::thread::spawn(move || {
        let said = client.hears(STATUS);
        while client.next().unwrap().is_some() {}
        said
    });
    running.ends_well();
    assert_eq!(listening.join().unwrap(), "offline");
}

#[test]
fn a_broker_is_trusted_by_its_certificate_only() {
    let place = Place::new();
    let (config, pem) = tls();
    std::fs::write(place.path("ca.pem"), pem).unwrap();
    std::fs::write(place.path("other.pem"), tls().1).unwrap();
    let broker = Broker::new(Some(config));
    let words = |ca: &str| {
        format!(
            "--input photos --mqtt mqtts://localhost:{} --mqtt-name x --ca {ca} -v",
            broker.address.port()
        )
    };
    let running = Running::start(&place, &words("ca.pem"));
    let mut client = broker.welcome();
    assert_eq!(client.hears("foldnet/x/status"), "online");
    let listening = std::thread::spawn(move || while client.next().unwrap().is_some() {});
    running.ends_well();
    listening.join().unwrap();
    // One that answers, but is not trusted, is refused.
    let mut running = Running::start(&place, &words("other.pem"));
    std::thread::spawn(move || broker.welcome());
    let said = running.says("trying again");
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    running.ends_well();
}

#[test]
fn what_cannot_be_published_to_is_named() {
    let place = Place::new();
    std::fs::write(place.path("empty.pem"), "").unwrap();
    for (words, expected) in [
        ("--mqtt http://broker", "mqtt://"),
        ("--mqtt mqtts://broker --ca empty.pem", "no certificate"),
        ("--webhook ftp://x --when a>0", "http://"),
        ("--webhook http://x --when nobody>0.5", "no such label"),
        ("--webhook http://x --when a", "a rule reads as"),
        ("--webhook http://x", "--when"),
        ("--when a>0", "--webhook or --mqtt"),
        ("--webhook http://me:secret/@x --when a>0", "%2F"),
        ("--mqtt mqtt://broker/a/#", "+ # ?"),
        ("--keep-uncertain net.nnef.tgz", "net.nnef.tgz"),
    ] {
        let output = place.run(&format!("--input photos {words}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains(expected), "{words}: {said}");
    }
}

/// Reads a request and answers it; the head, and the body.
fn answer(mut stream: impl Read + Write, code: &str) -> (String, Value) {
    let mut head = String::new();
    let mut reader = BufReader::new(&mut stream);
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0);
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    stream.write_all(format!("HTTP/1.1 {code}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
    stream.flush().unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_rule_calls_and_calls_again_when_refused() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:secret@{}/hook?a=b", listener.local_addr().unwrap());
    let mut command = place.command("--input photos --fps 50 --listen 0 --webhook");
    command.args([&url, "--when", "a > 0 for 3 frames", "--when", "B \"Quoted\" < 0"]);
    let mut running = Running::of(command);
    let at = running.page();
    let call = |code| answer(listener.accept().unwrap().0, code);
    let (head, first) = call("503 Later");
    assert!(head.starts_with("post /hook?a=b http/1.1\r\n"), "{head}");
    assert!(
        head.contains("authorization: basic bwu6c2vjcmv0\r\n")
            && head.contains("content-type: application/json"),
        "{head}"
    );
    assert_eq!((&first["rule"], &first["label"]), (&"a > 0 for 3 frames".into(), &"a".into()));
    assert!(first["score"].as_f64().unwrap() > 0.0 && first["time"].as_f64().unwrap() > 1.7e9);
    let (_, second) = call("204 Thanks");
    assert_eq!(first, second);
    let state = until(&at, |s| s["calls"] == 1);
    assert_eq!(state["calls_failed"], 0);
    assert!(body(&get(&at, "/metrics", "")).contains("\nfoldnet_webhook_calls_total 1\n"));
    running.ends_well();
}

#[test]
fn a_rule_in_seconds_reaches_broker_and_webhook_with_the_image() {
    let place = Place::new();
    let broker = Broker::new(None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = format!(
        "--input photos/1.png --fps 50 --mqtt mqtt://{}/home --webhook http://{}/ --webhook-image",
        broker.address,
        listener.local_addr().unwrap()
    );
    let mut command = place.command(&words);
    command.args(["--mqtt-name", "Küche Süd", "--when", "a > 0 for 0.2 seconds"]);
    let running = Running::of(command);
    let mut client = broker.welcome();
    let rule =
        client.next_of("homeassistant/binary_sensor/foldnet_K_che_S_d/rule_a_above_0_for_0_2_seconds/config");
    let rule: Value = serde_json::from_str(&rule.text).unwrap();
    assert_eq!(
        (&rule["name"], &rule["device"]["name"]),
        (&"a > 0 for 0.2 seconds".into(), &"Küche Süd".into())
    );
    let image = client.next_of("home/K_che_S_d/image");
    assert_eq!(image::load_from_memory(&image.bytes).unwrap().width(), 40);
    let event = client.next_of("home/K_che_S_d/events");
    assert!(image.retained && !event.retained);
    let event: Value = serde_json::from_str(&event.text).unwrap();
    assert_eq!((&event["rule"], &event["label"]), (&"a > 0 for 0.2 seconds".into(), &"a".into()));
    assert_eq!(client.hears(rule["state_topic"].as_str().unwrap()), "ON");
    let (_, call) = answer(listener.accept().unwrap().0, "200 OK");
    assert_eq!(call["rule"], event["rule"]);
    // What base64 makes of the first bytes of a JPEG.
    assert!(call["image"].as_str().unwrap().starts_with("/9j/"), "{call}");
    let listening = std::thread::spawn(move || while client.next().unwrap().is_some() {});
    running.ends_well();
    listening.join().unwrap();
}

#[test]
fn logins_for_a_broker_are_percent_decoded() {
    let place = Place::new();
    for (login, user, password) in
        [("me%40home:p%40ss%2Fw", "me@home", "p@ss/w"), ("me@home:p@ss", "me@home", "p@ss"), ("me", "me", "")]
    {
        let broker = Broker::new(None);
        let running = Running::start(
            &place,
            &format!("--input photos --mqtt mqtt://{login}@{} --mqtt-name x", broker.address),
        );
        let mut client = broker.welcome();
        assert_eq!(client.hello.login, Some((user.into(), password.into())), "{login}");
        // Before that it would leave without a good-bye.
        assert_eq!(client.hears("foldnet/x/status"), "online");
        let listening = std::thread::spawn(move || while client.next().unwrap().is_some() {});
        running.ends_well();
        listening.join().unwrap();
    }
}

#[test]
fn what_fired_is_told_before_the_end() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = place.command("--input photos/1.png --once --when a>0 --webhook");
    command.arg(format!("http://{}/", listener.local_addr().unwrap()));
    let server = std::thread::spawn(move || answer(listener.accept().unwrap().0, "200 OK"));
    assert!(command.output().unwrap().status.success());
    assert_eq!(server.join().unwrap().1["label"], "a");
}

#[test]
fn a_webhook_may_be_encrypted() {
    let place = Place::new();
    let (config, pem) = tls();
    std::fs::write(place.path("ca.pem"), pem).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = place.command("--input photos --ca ca.pem --when a>0 --webhook");
    command.arg(format!("https://localhost:{}/", listener.local_addr().unwrap().port()));
    let running = Running::of(command);
    let (_, call) = answer(encrypted(listener.accept().unwrap().0, &config), "200 OK");
    assert_eq!(call["label"], "a");
    running.ends_well();
}

#[test]
fn unsure_frames_are_kept_within_a_bound() {
    let place = Place::new();
    // A picture that makes about half a megabyte of JPEG, so that the smallest bound is reached at once.
    let mut state = 1_u32;
    let noise = image::RgbImage::from_fn(600, 500, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([state >> 24, state >> 16 & 255, state >> 8 & 255].map(|c| c as u8))
    });
    noise.save(place.path("noise.bmp")).unwrap();
    std::fs::create_dir(place.path("kept")).unwrap();
    std::fs::write(place.path("kept/0000000000001_a_10.jpg"), vec![0; 900_000]).unwrap();
    std::fs::write(place.path("kept/mine.jpg"), vec![0; 900_000]).unwrap();
    let mut running = Running::start(
        &place,
        "--input noise.bmp --keep-uncertain kept --keep-below 1 --keep-mb 1 --listen 0",
    );
    let at = running.page();
    until(&at, |s| s["kept"].as_u64() >= Some(2));
    running.ends_well();
    let kept: Vec<_> = std::fs::read_dir(place.path("kept"))
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.file_name() != "mine.jpg")
        .collect();
    let bytes: u64 = kept.iter().map(|e| e.metadata().unwrap().len()).sum();
    assert!(bytes > 0 && bytes <= 1_000_000, "{bytes}");
    assert!(place.path("kept/mine.jpg").exists() && !place.path("kept/0000000000001_a_10.jpg").exists());
    for file in kept {
        assert_eq!(image::open(file.path()).unwrap().width(), 600);
    }
}

/// In namespaces of its own, a test may mount a disk as small as it likes.
#[test]
fn a_full_disk_is_survived_and_used_again() {
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: this system gives no namespace in which to mount a small disk");
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    // The disk is full from the start; the last signal of the shell makes room.
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs disk && dd if=/dev/zero of=disk/fill bs=1k count=100 2>/dev/null; \
         trap 'rm disk/fill' USR1; \
         '{}' camera net.nnef.tgz --input photos --keep-uncertain disk --keep-below 1 --listen 0 -v & \
         child=$!; trap \"kill $child\" TERM; \
         while kill -0 $child 2>/dev/null; do wait $child; code=$?; done; exit $code",
        env!("CARGO_BIN_EXE_runtime")
    );
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script]).current_dir(place.0.path());
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut running = Running::of(command);
    let at = running.page();
    running.says("a frame cannot be kept");
    let state = until(&at, |s| s["kept_failed"].as_u64() >= Some(2));
    assert_eq!(state["kept"], 0);
    running.signal("-USR1");
    until(&at, |s| s["kept"].as_u64() >= Some(2));
    running.ends_well();
}

#[test]
fn a_still_picture_lets_the_network_rest() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos/1.png --fps 100 --idle --listen 0");
    let at = running.page();
    let state = until(&at, |s| s["resting"] == true && s["rested"].as_u64() > Some(100));
    assert!(state["rested"].as_u64() < state["captured"].as_u64());
    assert!(body(&get(&at, "/metrics", "")).contains("\nfoldnet_resting 1.0\n"));
    running.ends_well();
    // What changes is looked at. All of it: of a part, a slow machine might see the same picture for long.
    let mut running = Running::start(&place, "--input photos --fps 100 --all --idle --listen 0");
    let at = running.page();
    let state = until(&at, |s| s["classified"].as_u64() > Some(300));
    assert_eq!((&state["rested"], &state["resting"]), (&0.into(), &false.into()));
    running.ends_well();
}

#[test]
fn the_pace_is_kept() {
    let place = Place::new();
    let start = std::time::Instant::now();
    let mut running = Running::start(&place, "--input photos --fps 1000 --fps-max 20 --listen 0");
    let at = running.page();
    let state = until(&at, |s| s["classified"].as_u64() >= Some(30) && s["dropped"].as_u64() > Some(30));
    // However slow this machine is, no more frames can have begun than the pace has room for. (The rate that
    // the page tells is of the ends, which a frame that was held up moves together.)
    let most = 1.0 + 20.0 * start.elapsed().as_secs_f64();
    assert!(state["classified"].as_f64().unwrap() <= most, "{state}, of {most}");
    running.ends_well();
}
