//! The element: pads, properties, states.

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use foldnet::{Classifier, Label};
use foldnet_image::frame::{Fitter, View};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::VideoInfo;

use super::{frame, results};

/// Labels in a result unless the property `top` sets another number.
const TOP: u32 = 3;

#[derive(Clone, Debug)]
struct Settings {
    model: Option<PathBuf>,
    threads: u32,
    top: u32,
    interval: u32,
    region: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: None, threads: 0, top: TOP, interval: 1, region: None }
    }
}

/// What exists from READY on.
struct Running {
    classifier: Classifier,
    fitter: Fitter,
    pixels: Vec<u8>,
    info: Option<VideoInfo>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// Frames since the last one that was classified.
    passed: u32,
}

/// Why a frame has no result and the stream ends.
enum Problem {
    /// What GStreamer knows by itself.
    Flow(gst::FlowError),
    /// What the pipeline's owner must be told.
    Said(String),
}

/// See [`super::FoldnetClassify`].
pub struct FoldnetClassify {
    sink: gst::Pad,
    source: gst::Pad,
    settings: Mutex<Settings>,
    running: Mutex<Option<Running>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Four shares of a frame, `left,top,width,height`. Without text it is the whole frame.
fn view(text: Option<&str>) -> Result<View, String> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(View::default()) };
    let shares: Result<Vec<f32>, _> = text.split(',').map(|share| share.trim().parse()).collect();
    let inside = |&[left, top, width, height]: &[f32; 4]| {
        let in_one = |start: f32, length: f32| start >= 0.0 && length > 0.0 && start + length <= 1.0001;
        in_one(left, width) && in_one(top, height)
    };
    let four = shares.ok().and_then(|shares| <[f32; 4]>::try_from(shares).ok()).filter(inside);
    match four {
        Some(four) => Ok(View { roi: Some(four), ..View::default() }),
        None => Err(format!("region {text:?}: expected left,top,width,height as shares of the frame")),
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FoldnetClassify {
    const NAME: &'static str = "GstFoldnetClassify";
    type Type = super::FoldnetClassify;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        // Whatever passes, passes as it is: the neighbours agree on formats and memory with each other.
        let flags =
            gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION | gst::PadFlags::PROXY_SCHEDULING;
        let pad = |name: &str| {
            // The class has registered both.
            let template = class.pad_template(name).expect("a template of the class");
            gst::Pad::builder_from_template(&template).flags(flags)
        };
        let sink = pad("sink")
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |element| element.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |element| element.event(pad, event))
            })
            .build();
        let source = pad("src").build();
        Self { sink, source, settings: Mutex::default(), running: Mutex::default() }
    }
}

impl ObjectImpl for FoldnetClassify {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("model")
                    .nick("Model")
                    .blurb("Archive from `converter quantize`")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads to classify with; 0 means one per core")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("top")
                    .nick("Top")
                    .blurb("Number of labels in a result")
                    .minimum(1)
                    .default_value(TOP)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("interval")
                    .nick("Interval")
                    .blurb("Classify every n-th frame; the others pass without a result")
                    .minimum(1)
                    .default_value(1)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("region")
                    .nick("Region")
                    .blurb("Part of the frame to look at: left,top,width,height as shares of it")
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        // GObject has checked types and ranges.
        let number = || value.get::<u32>().unwrap_or_default();
        let text = || value.get::<Option<String>>().ok().flatten();
        match spec.name() {
            "model" => lock(&self.settings).model = text().map(PathBuf::from),
            "threads" => lock(&self.settings).threads = number(),
            "top" => lock(&self.settings).top = number(),
            "interval" => lock(&self.settings).interval = number(),
            "region" => self.look(text()),
            _ => {}
        }
    }

    fn property(&self, _: usize, spec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match spec.name() {
            "model" => settings.model.as_ref().map(|path| path.to_string_lossy().into_owned()).to_value(),
            "threads" => settings.threads.to_value(),
            "top" => settings.top.to_value(),
            "interval" => settings.interval.to_value(),
            _ => settings.region.to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sink, &self.source] {
            // A new element has no pads, so that none can be there twice.
            element.add_pad(pad).expect("a new element has room for its pads");
        }
    }
}

impl GstObjectImpl for FoldnetClassify {}

impl ElementImpl for FoldnetClassify {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Foldnet classifier",
                "Filter/Analyzer/Video",
                "Classifies video frames with an int8 residual network",
                "The Foldnet authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new().format_list(frame::formats()).build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .filter_map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // Before data flows, so that a missing or damaged model is an error at the start.
        if transition == gst::StateChange::ReadyToPaused {
            let running = self.open().map_err(|problem| {
                gst::element_imp_error!(self, gst::ResourceError::OpenRead, ["{problem}"]);
                gst::StateChangeError
            })?;
            *lock(&self.running) = Some(running);
        }
        let done = self.parent_change_state(transition);
        let failed = done.is_err() && transition == gst::StateChange::ReadyToPaused;
        if failed || transition == gst::StateChange::PausedToReady {
            *lock(&self.running) = None;
        }
        done
    }
}

impl FoldnetClassify {
    fn open(&self) -> Result<Running, String> {
        let Settings { model, threads, region, .. } = lock(&self.settings).clone();
        let model =
            model.ok_or("the property `model` is not set: it names an archive from `converter quantize`")?;
        let view = view(region.as_deref())?;
        let classifier =
            Classifier::builder().threads(threads as usize).open(&model).map_err(|e| e.to_string())?;
        let fitter = Fitter::new(classifier.input().clone(), view);
        let pixels = vec![0; fitter.bytes()];
        Ok(Running {
            classifier,
            fitter,
            pixels,
            info: None,
            segment: gst::FormattedSegment::new(),
            passed: 0,
        })
    }

    /// Sets the region. One without a meaning is an error when the element starts; while it runs, it changes nothing,
    /// and a warning says so.
    fn look(&self, region: Option<String>) {
        let view = view(region.as_deref());
        let wrong = match (&mut *lock(&self.running), &view) {
            (Some(running), Ok(view)) => {
                running.fitter.look(*view);
                None
            }
            (Some(_), Err(problem)) => Some(problem),
            (None, _) => None,
        };
        match wrong {
            Some(problem) => gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{problem}"]),
            None => lock(&self.settings).region = region,
        }
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let Some(running) = &mut *lock(&self.running) {
            match event.view() {
                gst::EventView::Caps(caps) => match VideoInfo::from_caps(caps.caps()) {
                    Ok(info) => running.info = Some(info),
                    Err(_) => return false,
                },
                gst::EventView::Segment(segment) => {
                    if let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() {
                        running.segment = segment.clone();
                    }
                }
                // The first frame after a seek is always classified.
                gst::EventView::FlushStop(_) => running.passed = 0,
                _ => {}
            }
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn chain(&self, mut buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let found = self.classify(&buffer).map_err(|problem| match problem {
            Problem::Flow(error) => error,
            Problem::Said(problem) => self.stop(&problem),
        })?;
        if let Some((labels, message)) = found {
            // A buffer that others hold too gets a header of its own; its memory stays shared.
            results::attach(buffer.make_mut(), &labels).map_err(|problem| self.stop(&problem.to_string()))?;
            let element = self.obj();
            let message = gst::message::Element::builder(message).src(&*element).build();
            // A bin without a bus wants no messages.
            let _ = element.post_message(message);
        }
        self.source.push(buffer)
    }

    /// The best classes of a frame whose turn it is, and the message about them.
    fn classify(&self, buffer: &gst::BufferRef) -> Result<Option<(Vec<Label>, gst::Structure)>, Problem> {
        let Settings { top, interval, .. } = *lock(&self.settings);
        let mut running = lock(&self.running);
        let running = running.as_mut().ok_or(Problem::Flow(gst::FlowError::Flushing))?;
        let skipped = running.passed;
        running.passed = (skipped + 1) % interval.max(1);
        if skipped != 0 {
            return Ok(None);
        }
        let info = running.info.as_ref().ok_or(Problem::Flow(gst::FlowError::NotNegotiated))?;
        let mapped = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)
            .map_err(|_| Problem::Said("a buffer is smaller than its caps need".into()))?;
        let frame = frame::borrowed(&mapped).map_err(|problem| Problem::Said(problem.to_string()))?;
        running.fitter.fit_ref(&frame, &mut running.pixels);
        let mut labels = running
            .classifier
            .classify_pixels(&running.pixels)
            .map_err(|problem| Problem::Said(problem.to_string()))?;
        labels.truncate(top as usize);
        let message = results::message(&labels, buffer, &running.segment);
        Ok(Some((labels, message)))
    }

    /// Ends the stream with an error.
    fn stop(&self, problem: &str) -> gst::FlowError {
        gst::element_imp_error!(self, gst::StreamError::Failed, ["{problem}"]);
        gst::FlowError::Error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_lie_within_the_frame() {
        let roi = |text: &str| view(Some(text)).map(|view| view.roi);
        assert_eq!((view(None), roi(" ")), (Ok(View::default()), Ok(None)));
        assert_eq!(roi("0.25, 0,0.5,1"), Ok(Some([0.25, 0.0, 0.5, 1.0])));
        for wrong in ["0,0,1", "0,0,1,1,1", "a,0,1,1", "0.5,0,0.6,1", "0,0,0,1", "-0.1,0,1,1", "nan,0,1,1"] {
            assert!(roi(wrong).is_err(), "{wrong}");
        }
    }
}
