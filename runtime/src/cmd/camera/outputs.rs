//! Whoever else is told of frames, as the flags ask: kept frames, MQTT, webhooks, the page.

#[cfg(feature = "serve")]
use std::path::Path;
use std::sync::Arc;

use foldnet_camera::capture::Shared;
use foldnet_camera::keep::{Keep, Keeper, Kept};
#[cfg(feature = "publish")]
use foldnet_camera::publish::{
    mqtt::{Destination, Mqtt},
    webhook::{Calls, Webhook},
};
#[cfg(feature = "serve")]
use foldnet_camera::rule::Rule;
use foldnet_camera::rulebook::Rulebook;
#[cfg(feature = "serve")]
use foldnet_camera::serve::{
    self,
    access::Access,
    hub::{Hub, Publisher},
    state::Others,
};
use foldnet_camera::source::Place;
#[cfg(feature = "tls")]
use foldnet_camera::tls;
use foldnet_camera::{Listener, Model};
#[cfg(feature = "serve")]
use foldnet_camera::{heat::Heat, signals, teach::Desk};

#[cfg(feature = "serve")]
use super::printable;
use super::{Cmd, Failure, Output};

impl Cmd {
    /// Whoever else wants to know of frames.
    pub(super) fn others(
        &self,
        model: &Model,
        shared: &Arc<Shared>,
        place: &Place,
        output: &Output,
    ) -> Result<Vec<Box<dyn Listener>>, Failure> {
        let mut all: Vec<Box<dyn Listener>> = Vec::new();
        let mut facts = Facts::default();
        if let Some(folder) = &self.keep_uncertain {
            let keep =
                Keep { folder: folder.clone(), max_bytes: self.keep_mb * 1_000_000, below: self.keep_below };
            let keeper = Keeper::start(keep).map_err(Failure::input)?;
            facts.kept = Some(keeper.kept());
            all.push(Box::new(keeper));
        }
        let book = self.rulebook()?;
        #[cfg(feature = "publish")]
        self.publish(model, &book, &mut all, &mut facts)?;
        #[cfg(not(feature = "publish"))]
        let _ = model;
        #[cfg(feature = "serve")]
        if let Some(page) = self.page(shared, place, output, book, facts)? {
            all.push(Box::new(page));
        }
        #[cfg(not(feature = "serve"))]
        let _ = (shared, place, output, book, facts);
        Ok(all)
    }

    /// The rules that the page may change, if there is a file for them.
    fn rulebook(&self) -> Result<Option<Arc<Rulebook>>, Failure> {
        #[cfg(feature = "serve")]
        let file = self.rules.as_deref();
        #[cfg(not(feature = "serve"))]
        let file: Option<&std::path::Path> = None;
        let open = |file| Rulebook::open(file).map(Arc::new);
        file.map(open).transpose().map_err(|e| Failure::input(format_args!("--rules {e}")))
    }

    #[cfg(feature = "publish")]
    fn publish(
        &self,
        model: &Model,
        book: &Option<Arc<Rulebook>>,
        all: &mut Vec<Box<dyn Listener>>,
        facts: &mut Facts,
    ) -> Result<(), Failure> {
        // Of classes that are taught later there may be rules now; each reload tells which have no label.
        let missing = self.when.iter().find(|rule| rule.class(&model.labels).is_none());
        if let Some(rule) = missing.filter(|_| self.taught_on_page().is_none()) {
            return Err(Failure::input(format!("--when {:?}: the network has no such label", rule.text)));
        }
        if let (Some(rule), None, None) = (self.when.first(), &self.webhook, &self.mqtt) {
            let text = &rule.text;
            return Err(Failure::input(format!(
                "--when {text:?} needs --webhook or --mqtt, which receive the events"
            )));
        }
        if let (Some(_), true, None) = (&self.webhook, self.when.is_empty(), book) {
            return Err(Failure::input(
                "--webhook needs --when, or --rules with --listen: a rule that fires is posted",
            ));
        }
        if let Some(url) = &self.webhook {
            let images = self.webhook_image.then(|| self.view());
            let webhook = Webhook::start(url, self.when.clone(), book.clone(), images, || {
                tls::client(self.ca.as_deref())
            })
            .map_err(|e| Failure::input(format!("--webhook {e}")))?;
            facts.calls = Some(webhook.calls());
            all.push(Box::new(webhook));
        }
        if let Some(url) = &self.mqtt {
            let to = Destination {
                url: url.clone(),
                password: std::env::var("FOLDNET_MQTT_PASSWORD").ok(),
                name: self.mqtt_name.clone().unwrap_or_else(host_name),
                rules: self.when.clone(),
                view: self.view(),
            };
            let mqtt = Mqtt::start(to, || tls::config(self.ca.as_deref()))
                .map_err(|e| Failure::input(format!("--mqtt {e}")))?;
            facts.mqtt = Some(mqtt.connected());
            all.push(Box::new(mqtt));
        }
        Ok(())
    }

    /// Starts the page, if it is wanted.
    #[cfg(feature = "serve")]
    fn page(
        &self,
        shared: &Arc<Shared>,
        place: &Place,
        output: &Output,
        book: Option<Arc<Rulebook>>,
        facts: Facts,
    ) -> Result<Option<Publisher>, Failure> {
        let Some(listen) = self.listen else { return Ok(None) };
        let token = self.token.clone().or_else(|| std::env::var("FOLDNET_TOKEN").ok());
        let with_token = token.is_some();
        let access = Access::new(listen, token).map_err(Failure::input)?;
        let desk = self.taught_on_page().map(|file| Arc::new(self.desk(file)));
        if let (Some(file), None) = (self.taught_on_page(), self.taught()) {
            output.say(format_args!(
                "{}: nothing is taught yet; the page can",
                printable(&file.display().to_string())
            ));
        }
        let hub = Hub::start(shared.clone(), place.clone(), self.view(), desk, book, self.heat())
            .map_err(Failure::internal)?;
        let address = serve::start(listen, access, hub.clone())
            .map_err(|e| Failure::input(format!("--listen {listen}: {e}")))?;
        let token = if with_token { "/?token=…" } else { "/" };
        output.say(format_args!("page: http://{address}{token}"));
        Ok(Some(Publisher::new(hub, self.view(), self.fixed_rules(), move || facts.read())))
    }

    /// The rules of the command line.
    #[cfg(feature = "serve")]
    fn fixed_rules(&self) -> Vec<Rule> {
        #[cfg(feature = "publish")]
        return self.when.clone();
        #[cfg(not(feature = "publish"))]
        Vec::new()
    }

    /// Heat maps of what answers.
    #[cfg(feature = "serve")]
    fn heat(&self) -> Heat {
        let (choice, archive) = (self.choice.clone(), self.archive.clone());
        let teach = self.teach.clone();
        Heat::new(move || {
            let teaching = teach.as_deref().filter(|file| file.exists());
            choice.explainer(&archive, teaching).map_err(|failure| failure.message())
        })
    }

    /// Where the page teaches classes.
    #[cfg(feature = "serve")]
    fn desk(&self, file: &Path) -> Desk {
        let choice = self.choice.clone();
        let open = move |archive: &Path| choice.pupil(archive).map_err(|failure| failure.message());
        Desk::new(file, &self.archive, open, signals::ask_reload)
    }
}

/// How those fare who keep and tell.
#[derive(Default)]
struct Facts {
    kept: Option<Arc<Kept>>,
    #[cfg(feature = "publish")]
    calls: Option<Arc<Calls>>,
    #[cfg(feature = "publish")]
    mqtt: Option<Arc<std::sync::atomic::AtomicBool>>,
}

#[cfg(feature = "serve")]
impl Facts {
    fn read(&self) -> Others {
        use std::sync::atomic::Ordering::Relaxed;
        #[cfg_attr(not(feature = "publish"), expect(unused_mut))]
        let mut others = Others {
            kept: self.kept.as_ref().map(|k| k.written.load(Relaxed)),
            kept_failed: self.kept.as_ref().map(|k| k.failed.load(Relaxed)),
            ..Others::default()
        };
        #[cfg(feature = "publish")]
        {
            others.calls = self.calls.as_ref().map(|c| c.made.load(Relaxed));
            others.calls_failed = self.calls.as_ref().map(|c| c.failed.load(Relaxed));
            others.mqtt = self.mqtt.as_ref().map(|m| m.load(Relaxed));
        }
        others
    }
}

#[cfg(feature = "publish")]
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "camera".into() } else { name.into() }
}
