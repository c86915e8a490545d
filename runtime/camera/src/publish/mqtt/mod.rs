//! Labels, rules and images over MQTT.
//!
//! ```text
//! PREFIX/NAME/state        {"label", "score", "labels", "fps", "latency_ms", "temperature", "alive"}, retained
//! PREFIX/NAME/status       online | offline, retained; offline is also the last will
//! PREFIX/NAME/image        a JPEG of the frame at which a rule fired or, without rules, the label changed, retained
//! PREFIX/NAME/rules/RULE   ON | OFF, retained
//! PREFIX/NAME/events       {"rule", "label", "score", "frame", "time"} whenever a rule fires
//! homeassistant/…/foldnet_NAME/…/config   one for each value, rule and image, retained, see [`super::discovery`]
//! ```
//! The state is told when the label changes, and once a second otherwise. For a broker that is away the newest
//! state, image and rules are kept, and the newest events; they are told when it is back.

mod broker;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use rumqttc::{LastWill, MqttOptions, QoS, TlsConfiguration, Transport};
use rustls::ClientConfig;
use serde::Serialize;
use tokio::sync::watch;

use super::discovery::{rule_slugs, slug};
use super::{FAREWELL, Rules, ended};
use crate::address::{Address, Login};
use crate::preview::Preview;
use crate::rule::Rule;
use crate::{Listener, Model, Report};
use foldnet_image::frame::{Frame, View};

/// The least time between two states with the same label, and with another one.
const SAME: Duration = Duration::from_secs(1);
const OTHER: Duration = Duration::from_millis(100);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Messages that may wait in the client, besides those of rules.
const WAITING: usize = 32;
/// Events that are kept for a broker that is away.
const EVENTS: usize = 32;
/// The least time between two images.
const IMAGE: Duration = Duration::from_secs(1);
/// The most bytes of a message to the broker, and from it.
const MAX_PACKET: (usize, usize) = (2 << 20, 16 << 10);

/// Where labels go.
pub struct Destination {
    /// `mqtt[s]://[user:password@]host[:port][/prefix]`
    pub url: String,
    /// The password, if it is not in the address.
    pub password: Option<String>,
    /// What the camera is called there.
    pub name: String,
    /// What is watched.
    pub rules: Vec<Rule>,
    /// How the camera is mounted.
    pub view: View,
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

/// What is to be told.
#[derive(Clone, Default)]
struct Told {
    state: Option<Arc<State>>,
    /// What the network was made from.
    source: Option<String>,
    /// The newest image, and its number.
    image: Option<(u64, Arc<[u8]>)>,
    /// Which rules are fulfilled.
    rules: Vec<bool>,
    /// The newest events, numbered from one.
    events: VecDeque<(u64, Arc<str>)>,
    end: bool,
}

impl Told {
    fn event(&mut self, text: String) {
        let number = self.events.back().map_or(0, |(number, _)| *number) + 1;
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((number, text.into()));
    }
}

/// Listens to the camera and tells a broker.
pub struct Mqtt {
    told: watch::Sender<Told>,
    labels: Vec<String>,
    rules: Rules,
    preview: Preview,
    view: View,
    /// When the last image was made, and for which label.
    drawn: Option<(Instant, Option<usize>)>,
    /// The label and the number of the frame that were told, and when.
    last: Option<(Option<usize>, u64, Instant)>,
    /// Whether it was told that frames come.
    alive: bool,
    connected: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Where everything is told.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    /// The camera's name as it is written, and as it stands in topics.
    pub name: String,
    pub slug: String,
    pub state: String,
    pub status: String,
    pub image: String,
    pub events: String,
    pub rules: Vec<String>,
}

impl Topics {
    pub fn new(prefix: &str, name: &str, rules: &[Rule]) -> Self {
        let slug = slug(name);
        let topic = |last: &str| format!("{prefix}/{slug}/{last}");
        Self {
            name: name.into(),
            state: topic("state"),
            status: topic("status"),
            image: topic("image"),
            events: topic("events"),
            rules: rule_slugs(rules).iter().map(|rule| topic(&format!("rules/{rule}"))).collect(),
            slug,
        }
    }
}

impl Mqtt {
    /// Starts the thread that talks to the broker, which need not be there yet.
    pub fn start(
        to: Destination,
        tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
    ) -> Result<Self, String> {
        let address = Address::parse(&to.url, &["mqtt", "mqtts"])?;
        let encrypted = address.url.scheme() == "mqtts";
        if to.url.contains(['?', '#']) || address.url.path().contains('+') {
            return Err(format!("{address}: the prefix of topics must not contain + # ?"));
        }
        let prefix = percent_decode_str(address.url.path().trim_matches('/')).decode_utf8();
        let prefix = prefix.map_err(|_| format!("{address}: the prefix of topics is not UTF-8"))?;
        let prefix = if prefix.is_empty() { "foldnet" } else { &prefix };
        let topics = Topics::new(prefix, &to.name, &to.rules);
        // Two programs of one name would throw each other out.
        let id = format!("foldnet-{}-{}", topics.slug, std::process::id());
        let port = address.url.port().unwrap_or(if encrypted { 8883 } else { 1883 });
        let mut options = MqttOptions::new(id, address.host(), port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_request_channel_capacity(WAITING);
        options.set_max_packet_size(MAX_PACKET.1, MAX_PACKET.0);
        options.set_last_will(LastWill::new(&topics.status, "offline", QoS::AtLeastOnce, true));
        if encrypted {
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls()?)));
        }
        if let Some(Login { user, password }) = &address.login {
            options.set_credentials(user, to.password.as_deref().unwrap_or(password));
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let (told, changes) = watch::channel(Told::default());
        let connected = Arc::new(AtomicBool::new(false));
        let theirs = connected.clone();
        let shown = address.to_string();
        let rules = to.rules.clone();
        let work = move || runtime.block_on(broker::talk(options, &topics, &rules, changes, &theirs, shown));
        let thread =
            std::thread::Builder::new().name("mqtt".into()).spawn(work).map_err(|e| e.to_string())?;
        Ok(Self {
            told,
            labels: Vec::new(),
            rules: Rules::new(to.rules),
            preview: Preview::default(),
            view: to.view,
            drawn: None,
            last: None,
            alive: false,
            connected,
            thread: Some(thread),
        })
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
            fps: report.numbers.fps,
            latency_ms: report.numbers.latency_ms,
            temperature: report.numbers.temperature,
            alive: true,
        });
    }

    /// Tells which rules a frame fulfils, and shows it where one fires or, without rules, the label is new.
    fn watch(&mut self, frame: &Frame, report: &Report) {
        let mut changes: Vec<(usize, Option<String>)> = Vec::new();
        for (number, event) in self.rules.push(report) {
            changes.push((number, event.map(|event| serde_json::to_string(&event).unwrap_or_default())));
        }
        let fires = changes.iter().any(|(_, event)| event.is_some());
        let is_new = self.rules.is_empty() && self.drawn.is_none_or(|(_, label)| label != report.label);
        let due = self.drawn.is_none_or(|(at, _)| at.elapsed() >= IMAGE);
        let mut image = None;
        if (fires || is_new) && due {
            image = self.preview.jpeg(&mut frame.clone(), self.view);
            self.drawn = Some((Instant::now(), report.label));
        }
        if changes.is_empty() && image.is_none() {
            return;
        }
        // At once, so that the image is there when the event is.
        self.told.send_modify(|told| {
            if let Some(jpeg) = image {
                let number = told.image.as_ref().map_or(0, |(number, _)| *number) + 1;
                told.image = Some((number, jpeg.into()));
            }
            for (number, event) in changes {
                told.rules[number] = event.is_some();
                if let Some(text) = event {
                    told.event(text);
                }
            }
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
        self.rules.model(&model.labels);
        self.told.send_modify(|told| {
            told.source = Some(model.manifest.source.file.clone());
            told.rules = vec![false; self.rules.len()];
        });
    }

    fn frame(&mut self, frame: &Frame, _pixels: &[u8], report: &Report) -> bool {
        self.watch(frame, report);
        if self.due(report) {
            self.say(report);
        }
        true
    }

    fn idle(&mut self, alive: bool, last: &Report) {
        if !alive {
            for number in self.rules.reset() {
                self.told.send_modify(|told| told.rules[number] = false);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use foldnet_image::frame::{Colors, Format};

    fn to(url: &str, rules: &[&str]) -> Destination {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Destination { url: url.into(), password: None, name: "x".into(), rules, view: View::default() }
    }

    #[test]
    fn the_last_frame_before_a_silence_is_told() {
        // Nobody is there; it is looked at what would be told.
        let mut mqtt = Mqtt::start(to("mqtt://127.0.0.1:1", &[]), || Err("no".into())).unwrap();
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
        for url in ["http://broker", "mqtt://", "mqtt://broker:x", "mqtt://broker/a/#", "mqtt://broker/+/a"] {
            assert!(Mqtt::start(to(url, &[]), || Err("no".into())).is_err(), "{url}");
        }
        let mqtts = Mqtt::start(to("mqtts://broker", &[]), || Err("no roots".into()));
        assert_eq!(mqtts.err().as_deref(), Some("no roots"));
    }

    #[test]
    fn rules_events_and_images_are_told() {
        let mut mqtt = Mqtt::start(to("mqtt://127.0.0.1:1", &["cat > 0.5"]), || Err("no".into())).unwrap();
        mqtt.labels = vec!["cat".into()];
        mqtt.rules.model(&mqtt.labels);
        mqtt.told.send_modify(|told| told.rules = vec![false]);
        let mut frame = Frame::default();
        frame.shape(Format::Rgb, 8, 8, Colors::default()).unwrap().fill(90);
        let told = mqtt.told.subscribe();
        let seen = || {
            let told = told.borrow();
            (told.rules.clone(), told.events.len(), told.image.as_ref().map(|(number, _)| *number))
        };
        let report = |score: f32| Report { label: Some(0), scores: vec![score], ..Report::default() };
        mqtt.frame(&frame, &[], &report(0.4));
        assert_eq!(seen(), (vec![false], 0, None));
        mqtt.frame(&frame, &[], &report(0.6));
        assert_eq!(seen(), (vec![true], 1, Some(1)));
        mqtt.frame(&frame, &[], &report(0.4));
        assert_eq!(seen(), (vec![false], 1, Some(1)));
        // Memory is bounded while the broker is away.
        for _ in 0..2 * EVENTS {
            mqtt.frame(&frame, &[], &report(0.6));
            mqtt.frame(&frame, &[], &report(0.4));
        }
        assert_eq!(seen().1, EVENTS);
        mqtt.frame(&frame, &[], &report(0.6));
        mqtt.idle(false, &report(0.6));
        assert_eq!(seen().0, [false]);
        let event: serde_json::Value = serde_json::from_str(&told.borrow().events[0].1).unwrap();
        assert_eq!((&event["rule"], &event["label"]), (&"cat > 0.5".into(), &"cat".into()));
    }
}
