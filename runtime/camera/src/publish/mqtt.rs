//! Labels over MQTT, and the messages by which Home Assistant finds the camera by itself.
//!
//! ```text
//! PREFIX/NAME/state     {"label", "score", "labels", "fps", "latency_ms", "temperature", "alive"}, retained
//! PREFIX/NAME/status    online | offline, retained; offline is also the last will
//! homeassistant/sensor/foldnet_NAME/…/config        one for each value, retained
//! ```
//! The state is told when the label changes, and once a second otherwise; only the newest is ever kept
//! for a broker that is away, and told when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use serde::Serialize;
use tokio::sync::watch;

use super::{FAREWELL, ended};
use crate::url::Url;
use crate::{Listener, Model, Report};
use foldnet_image::frame::Frame;

/// The least time between two states with the same label, and with another one.
const SAME: Duration = Duration::from_secs(1);
const OTHER: Duration = Duration::from_millis(100);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The first and the longest wait before connecting again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Messages that may wait in the client.
const WAITING: usize = 32;

/// Where labels go.
pub struct Destination {
    /// `mqtt[s]://[user:password@]host[:port][/prefix]`
    pub url: String,
    /// The password, if it is not in the address.
    pub password: Option<String>,
    /// What the camera is called there.
    pub name: String,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Label {
    label: String,
    score: f32,
}

#[derive(Clone, Debug, Default, Serialize)]
struct State {
    label: Option<String>,
    score: Option<f32>,
    labels: Vec<Label>,
    fps: f64,
    latency_ms: f64,
    temperature: Option<f64>,
    alive: bool,
}

/// What is to be told: the newest state, and what the network was made from.
#[derive(Clone, Default)]
struct Told {
    state: Option<Arc<State>>,
    source: Option<String>,
    end: bool,
}

/// Listens to the camera and tells a broker.
pub struct Mqtt {
    told: watch::Sender<Told>,
    labels: Vec<String>,
    /// The label and the number of the frame that were told, and when.
    last: Option<(Option<usize>, u64, Instant)>,
    /// Whether it was told that frames come.
    alive: bool,
    connected: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Topics {
    name: String,
    state: String,
    status: String,
}

/// A part of a topic: nothing that has a meaning there.
fn part(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(64).map(plain).collect()
}

impl Mqtt {
    /// Starts the thread that talks to the broker, which need not be there yet.
    pub fn start(
        to: Destination,
        tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
    ) -> Result<Self, String> {
        let url = Url::parse(&to.url, &[("mqtt", 1883), ("mqtts", 8883)])?;
        let name = part(&to.name);
        let prefix = url.path.trim_matches('/');
        if prefix.contains(['+', '#', '?']) {
            return Err(format!("{}: a prefix of topics has no + # ?", url.shown()));
        }
        let prefix = if prefix.is_empty() { "foldnet" } else { prefix };
        let topic = |last: &str| format!("{prefix}/{name}/{last}");
        let topics = Topics { state: topic("state"), status: topic("status"), name: name.clone() };
        // Two programs of one name would throw each other out.
        let id = format!("foldnet-{name}-{}", std::process::id());
        let mut options = MqttOptions::new(id, url.name(), url.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_request_channel_capacity(WAITING);
        options.set_last_will(LastWill::new(&topics.status, "offline", QoS::AtLeastOnce, true));
        if url.scheme == "mqtts" {
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls()?)));
        }
        if let Some(login) = &url.login {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            options.set_credentials(user, to.password.as_deref().unwrap_or(password));
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let (told, changes) = watch::channel(Told::default());
        let connected = Arc::new(AtomicBool::new(false));
        let theirs = connected.clone();
        let shown = url.shown();
        let work = move || runtime.block_on(talk(options, &topics, changes, &theirs, shown));
        let thread =
            std::thread::Builder::new().name("mqtt".into()).spawn(work).map_err(|e| e.to_string())?;
        Ok(Self { told, labels: Vec::new(), last: None, alive: false, connected, thread: Some(thread) })
    }

    /// Whether the broker is there.
    pub fn connected(&self) -> Arc<AtomicBool> {
        self.connected.clone()
    }

    fn tell(&self, state: State) {
        self.told.send_modify(|told| told.state = Some(Arc::new(state)));
    }

    /// Whether it is time to tell of a frame.
    fn due(&self, report: &Report) -> bool {
        let wait = |label: Option<usize>| if label == report.label { SAME } else { OTHER };
        self.last.is_none_or(|(label, _, at)| at.elapsed() >= wait(label))
    }

    /// Tells what is known after a frame.
    fn say(&mut self, report: &Report) {
        self.last = Some((report.label, report.number, Instant::now()));
        self.alive = true;
        let name = |class: usize| self.labels[class].clone();
        self.tell(State {
            label: report.label.map(name),
            score: report.label.map(|class| report.scores[class]),
            labels: report.top.iter().map(|&(class, score)| Label { label: name(class), score }).collect(),
            fps: report.fps,
            latency_ms: report.latency_ms,
            temperature: report.temperature,
            alive: true,
        });
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.told.send_modify(|told| told.end = true);
        // It has a limit of its own; one that hangs is left behind.
        if let Some(thread) = self.thread.take() {
            ended(&thread, 2 * FAREWELL);
        }
    }
}

impl Listener for Mqtt {
    fn model(&mut self, model: &Model) {
        self.labels.clone_from(&model.labels);
        self.last = None;
        self.told.send_modify(|told| told.source = Some(model.manifest.source.file.clone()));
    }

    fn frame(&mut self, _frame: &Frame, _pixels: &[u8], report: &Report) -> bool {
        if self.due(report) {
            self.say(report);
        }
        true
    }

    fn idle(&mut self, alive: bool, last: &Report) {
        match self.last {
            Some((_, number, _)) if alive && number != last.number && self.due(last) => self.say(last),
            _ if self.alive && !alive => {
                (self.last, self.alive) = (None, false);
                self.tell(State::default());
            }
            _ => {}
        }
    }
}

/// Talks to the broker until told to end.
async fn talk(
    options: MqttOptions,
    topics: &Topics,
    mut changes: watch::Receiver<Told>,
    connected: &Arc<AtomicBool>,
    shown: String,
) {
    let (client, events) = AsyncClient::new(options, WAITING);
    let (sessions, mut session) = watch::channel(0_u64);
    tokio::spawn(connect(events, sessions, connected.clone(), shown));
    let mut greeted = None;
    // Whether the newest found no room in the queue.
    let mut unsaid = false;
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            changed = session.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(SAME), if unsaid => {}
        }
        unsaid = false;
        let told = changes.borrow_and_update().clone();
        let now = *session.borrow_and_update();
        if !connected.load(Ordering::Relaxed) {
            if told.end {
                return;
            }
            continue;
        }
        if told.end {
            let _ = tokio::time::timeout(FAREWELL, farewell(&client, topics, &mut session)).await;
            return;
        }
        let Some(source) = told.source else { continue };
        if greeted.as_ref() != Some(&(now, source.clone())) {
            let hello = discovery(topics, &source);
            let mut all = hello.into_iter().chain([(topics.status.clone(), "online".into())]);
            if !all.all(|(topic, text)| say(&client, topic, QoS::AtLeastOnce, text)) {
                unsaid = true;
                continue;
            }
            greeted = Some((now, source));
        }
        if let Some(text) = told.state.and_then(|state| serde_json::to_string(&*state).ok()) {
            unsaid = !say(&client, topics.state.clone(), QoS::AtMostOnce, text);
        }
    }
}

/// Queues a retained message; whether there was room.
fn say(client: &AsyncClient, topic: String, qos: QoS, text: String) -> bool {
    let said = client.try_publish(topic, qos, true, text);
    said.inspect_err(|e| tracing::debug!("MQTT: {e}")).is_ok()
}

/// The broker hears it from us, not from the last will.
async fn farewell(client: &AsyncClient, topics: &Topics, session: &mut watch::Receiver<u64>) {
    if client.publish(&topics.status, QoS::AtLeastOnce, true, "offline").await.is_ok()
        && client.disconnect().await.is_ok()
    {
        // The connection's end is a change as well.
        let _ = session.changed().await;
    }
}

/// Keeps a connection up. Each new one counts.
async fn connect(
    mut events: EventLoop,
    sessions: watch::Sender<u64>,
    connected: Arc<AtomicBool>,
    shown: String,
) {
    let mut wait = RETRY.0;
    let mut last_words = String::new();
    let mut leaving = false;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                tracing::info!("{shown}: connected");
                connected.store(true, Ordering::Relaxed);
                sessions.send_modify(|n| *n += 1);
                wait = RETRY.0;
                last_words.clear();
            }
            // The broker hangs up when it has read this. Closing first could take it what it has not
            // read yet.
            Ok(Event::Outgoing(Outgoing::Disconnect)) => leaving = true,
            Ok(_) => {}
            Err(_) if leaving => return,
            Err(e) => {
                if connected.swap(false, Ordering::Relaxed) {
                    sessions.send_modify(|n| *n += 1);
                }
                let words = e.to_string();
                if words != last_words {
                    tracing::warn!("{shown}: {words}; trying again");
                    last_words = words;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
        }
    }
}

/// Home Assistant's discovery messages: topics and texts.
fn discovery(topics: &Topics, source: &str) -> Vec<(String, String)> {
    let Topics { name, state, status } = topics;
    let sensor = |key: &str, title: &str, template: &str, more: serde_json::Value| {
        let mut config = serde_json::json!({
            "name": title,
            "unique_id": format!("foldnet_{name}_{key}"),
            "state_topic": state,
            "value_template": template,
            "availability_topic": status,
            "device": {
                "identifiers": [format!("foldnet_{name}")],
                "name": format!("Foldnet {name}"),
                "manufacturer": "Foldnet",
                "model": source,
                "sw_version": env!("CARGO_PKG_VERSION"),
            },
        });
        if let (Some(config), serde_json::Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        (format!("homeassistant/sensor/foldnet_{name}/{key}/config"), config.to_string())
    };
    let measured =
        |unit: &str| serde_json::json!({ "unit_of_measurement": unit, "state_class": "measurement" });
    let mut temperature = measured("°C");
    temperature["device_class"] = "temperature".into();
    vec![
        sensor(
            "label",
            "Label",
            "{{ value_json.label }}",
            serde_json::json!({ "json_attributes_topic": state }),
        ),
        sensor("score", "Score", "{{ (100 * (value_json.score or 0)) | round(1) }}", measured("%")),
        sensor("fps", "Frames a second", "{{ value_json.fps | round(1) }}", measured("1/s")),
        sensor("latency", "Age at the label", "{{ value_json.latency_ms | round(1) }}", measured("ms")),
        sensor("temperature", "Temperature", "{{ value_json.temperature }}", temperature),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_a_topic() {
        assert_eq!(part("front door/+#é"), "front_door____");
        let topics = Topics { name: part("a/b"), state: "s".into(), status: "t".into() };
        for (topic, text) in discovery(&topics, "net.onnx") {
            assert!(topic.starts_with("homeassistant/sensor/foldnet_a_b/"), "{topic}");
            let config: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&config["state_topic"], &config["availability_topic"]), (&"s".into(), &"t".into()));
        }
    }

    #[test]
    fn the_last_frame_before_a_silence_is_told() {
        // Nobody is there; it is looked at what would be told.
        let to = Destination { url: "mqtt://127.0.0.1:1".into(), password: None, name: "x".into() };
        let mut mqtt = Mqtt::start(to, || Err("no".into())).unwrap();
        mqtt.labels = vec!["cat".into(), "dog".into()];
        let told = mqtt.told.subscribe();
        let state = || told.borrow().state.as_ref().map(|s| (s.label.clone(), s.alive));
        let mut report = Report { label: Some(0), number: 1, scores: vec![0.7, 0.3], ..Report::default() };
        mqtt.frame(&Frame::default(), &[], &report);
        // As if just now, however busy the machine is.
        mqtt.last = Some((Some(0), 1, Instant::now() + Duration::from_secs(3600)));
        (report.label, report.number) = (Some(1), 2);
        mqtt.frame(&Frame::default(), &[], &report);
        mqtt.idle(true, &report);
        assert_eq!(state(), Some((Some("cat".into()), true)));
        mqtt.last = Some((Some(0), 1, Instant::now().checked_sub(OTHER).unwrap()));
        mqtt.idle(true, &report);
        assert_eq!(state(), Some((Some("dog".into()), true)));
        // Also when there is another network, of which nothing was told yet.
        mqtt.last = None;
        mqtt.idle(false, &report);
        assert_eq!(state(), Some((None, false)));
    }

    #[test]
    fn bad_addresses_are_refused() {
        for url in ["http://broker", "mqtt://", "mqtt://broker:x", "mqtt://broker/a/#"] {
            let to = Destination { url: url.into(), password: None, name: "x".into() };
            assert!(Mqtt::start(to, || Err("no".into())).is_err(), "{url}");
        }
        let to = Destination { url: "mqtts://broker".into(), password: None, name: "x".into() };
        assert_eq!(Mqtt::start(to, || Err("no roots".into())).err().as_deref(), Some("no roots"));
    }
}
