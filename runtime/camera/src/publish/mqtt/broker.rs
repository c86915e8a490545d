//! The conversation with the broker, in a thread of its own: what changes is told, and told again in each new
//! session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::watch;

use super::super::FAREWELL;
use super::super::discovery::discovery;
use super::{SAME, State, Told, Topics, WAITING};
use crate::rule::Rule;

/// The first and the longest wait before connecting again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Talks to the broker until told to end.
pub(super) async fn talk(
    options: MqttOptions,
    topics: &Topics,
    rules: &[Rule],
    mut changes: watch::Receiver<Told>,
    connected: &Arc<AtomicBool>,
    shown: String,
) {
    let (client, events) = AsyncClient::new(options, WAITING + 2 * rules.len());
    let (sessions, mut session) = watch::channel(0_u64);
    tokio::spawn(connect(events, sessions, connected.clone(), shown));
    let mut said = Said::default();
    // Whether the newest found no room in the queue.
    let mut unsaid = false;
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            changed = session.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(SAME), if unsaid => {}
        }
        let told = changes.borrow_and_update().clone();
        let now = *session.borrow_and_update();
        if !connected.load(Ordering::Relaxed) {
            if told.end {
                return;
            }
            unsaid = false;
            continue;
        }
        unsaid = !said.say(&client, topics, rules, &told, now);
        if told.end {
            let _ = tokio::time::timeout(FAREWELL, farewell(&client, topics, &mut session)).await;
            return;
        }
    }
}

/// What this session has been told.
#[derive(Default)]
struct Said {
    /// The session, and the network that it knows of.
    greeted: Option<(u64, String)>,
    image: u64,
    /// The last event, in whichever session.
    event: u64,
    rules: Vec<Option<bool>>,
    state: Option<Arc<State>>,
}

impl Said {
    /// Says what is new; whether there was room for all of it.
    fn say(
        &mut self,
        client: &AsyncClient,
        topics: &Topics,
        rules: &[Rule],
        told: &Told,
        session: u64,
    ) -> bool {
        let say = |topic: &str, qos, retain, text: &[u8]| {
            let said = client.try_publish(topic, qos, retain, text);
            said.inspect_err(|e| tracing::debug!("MQTT: {e}")).is_ok()
        };
        let Some(source) = told.source.clone() else { return true };
        let hello = Some((session, source));
        if self.greeted != hello {
            let (_, source) = hello.as_ref().expect("just made");
            let messages = discovery(topics, rules, source);
            let mut all = messages.into_iter().chain([(topics.status.clone(), "online".into())]);
            if !all.all(|(topic, text)| say(&topic, QoS::AtLeastOnce, true, text.as_bytes())) {
                return false;
            }
            *self = Self { greeted: hello, event: self.event, ..Self::default() };
        }
        if let Some((number, jpeg)) = told.image.as_ref().filter(|(number, _)| *number > self.image) {
            if !say(&topics.image, QoS::AtMostOnce, true, jpeg) {
                return false;
            }
            self.image = *number;
        }
        let last = self.event;
        for (number, text) in told.events.iter().filter(|(number, _)| *number > last) {
            if !say(&topics.events, QoS::AtLeastOnce, false, text.as_bytes()) {
                return false;
            }
            self.event = *number;
        }
        self.rules.resize(told.rules.len(), None);
        for (topic, (said, &now)) in topics.rules.iter().zip(self.rules.iter_mut().zip(&told.rules)) {
            if *said != Some(now) {
                if !say(topic, QoS::AtLeastOnce, true, if now { b"ON" } else { b"OFF" }) {
                    return false;
                }
                *said = Some(now);
            }
        }
        let Some(state) = &told.state else { return true };
        if self.state.as_ref().is_none_or(|said| !Arc::ptr_eq(said, state)) {
            let text = serde_json::to_string(&**state).unwrap_or_default();
            if !say(&topics.state, QoS::AtMostOnce, true, text.as_bytes()) {
                return false;
            }
            self.state = Some(state.clone());
        }
        true
    }
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
