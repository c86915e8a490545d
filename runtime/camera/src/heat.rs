//! Heat maps of live frames: which parts of the image speak for the label.
//!
//! A second session with one thread computes them outside the camera's loop. It is loaded when a page first asks for a
//! heat map, and it runs rarely enough to leave the cores to the first session.

use std::time::{Duration, Instant};

use foldnet::Session;
use foldnet::explain::HeatMaps;
use foldnet_archive::{Input, Resize};
use foldnet_teach::Teaching;
use serde::Serialize;

/// The shortest time between two heat maps.
const PAUSE: Duration = Duration::from_millis(200);
/// Heat maps use at most one part in this many of one core's time.
const SHARE: u32 = 4;

/// Computes heat maps.
pub struct Explainer {
    /// Runs the network.
    pub session: Session,
    /// Computes the maps from the session's features.
    pub maps: HeatMaps,
    /// Whether one output stands for two labels, see [`HeatMaps::of_label`].
    pub pair: bool,
    /// The taught classes, if those are the labels.
    pub teaching: Option<Teaching>,
    /// The names of the network's own classes.
    pub own: Vec<String>,
}

/// A heat map as the page draws it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Drawn {
    /// Why there is none.
    pub none: Option<String>,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row, 0 to 255 for the greatest; 0 for what speaks against the label.
    pub cells: Vec<u8>,
    /// The part of the upright image that it covers: left, top, width and height as shares.
    pub part: [f32; 4],
}

impl Drawn {
    fn none(why: impl Into<String>) -> Self {
        Self { none: Some(why.into()), ..Self::default() }
    }
}

impl Explainer {
    /// The heat map of a label, for pixels that the network reads; its `part` is not filled in.
    fn explain(&mut self, pixels: &[u8], label: usize) -> Drawn {
        let shape = self.session.input();
        if pixels.len() != shape.len() {
            return Drawn::none("another network is being loaded");
        }
        self.maps.run(&mut self.session, pixels);
        let map = match &self.teaching {
            Some(teaching) => {
                let own = if teaching.own().is_mixed() { &self.own[..] } else { &[] };
                let labels = teaching.labels_with(own);
                let own = labels.get(label).and_then(|name| own.iter().position(|own| own == name));
                let weights = teaching.weights(label, &self.maps.means());
                match (weights, own.and_then(|class| self.maps.of_label(class, self.pair))) {
                    (Some(weights), _) => self.maps.weighted(&weights),
                    (None, Some(map)) => map,
                    _ if label < teaching.classes().len() => return Drawn::none("the image has no features"),
                    _ => return Drawn::none("nothing speaks for an image of no class"),
                }
            }
            None => match self.maps.of_label(label, self.pair) {
                Some(map) => map,
                None => return Drawn::none("another network is being loaded"),
            },
        };
        let most = map.values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let cells = map.values.iter().map(|value| (255.0 * value / most).clamp(0.0, 255.0).round() as u8);
        Drawn { width: map.width, height: map.height, cells: cells.collect(), ..Drawn::default() }
    }
}

type Open = dyn Fn() -> Result<Explainer, String> + Send + Sync;

/// Loads an explainer when it is needed, and limits how often it runs.
pub struct Heat {
    open: Box<Open>,
    explainer: Option<Result<Explainer, String>>,
    next: Instant,
}

impl Heat {
    /// `open` loads the network that answers now.
    pub fn new(open: impl Fn() -> Result<Explainer, String> + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), explainer: None, next: Instant::now() }
    }

    /// Drops the network, because another one answers now.
    pub fn forget(&mut self) {
        self.explainer = None;
    }

    /// The heat map of a label, if it is time for one.
    pub fn draw(&mut self, pixels: &[u8], label: Option<usize>, part: [f32; 4]) -> Option<Drawn> {
        let start = Instant::now();
        if start < self.next {
            return None;
        }
        let drawn = match (self.explainer.get_or_insert_with(|| (self.open)()), label) {
            (Err(why), _) => Drawn::none(why.clone()),
            (Ok(_), None) => Drawn::none("there is no label yet"),
            (Ok(explainer), Some(label)) => explainer.explain(pixels, label),
        };
        let done = Instant::now();
        self.next = done + PAUSE.max(SHARE * (done - start));
        Some(Drawn { part, ..drawn })
    }
}

/// The part of an upright image of this size that the network reads, as shares of it; `roi` is the part that it looks at.
/// It may reach beyond the image, where the network sees black.
pub fn part(input: &Input, roi: Option<[f32; 4]>, size: (usize, usize)) -> [f32; 4] {
    let [left, top, width, height] = roi.unwrap_or([0.0, 0.0, 1.0, 1.0]);
    let Resize::Crop { short_side } = input.resize else { return [left, top, width, height] };
    let (w, h) = (width * size.0 as f32, height * size.1 as f32);
    if w.min(h) < 1.0 || (size.0, size.1) == (input.width, input.height) {
        return [left, top, width, height];
    }
    let pixel = w.min(h) / short_side as f32;
    let (wide, high) =
        (pixel * input.width as f32 / size.0 as f32, pixel * input.height as f32 / size.1 as f32);
    [left + (width - wide) / 2.0, top + (height - high) / 2.0, wide, high]
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::{manifest, resnet8};
    use foldnet_teach::{Example, FalseAlarms, Metric, Other, Teacher};

    use super::*;

    #[test]
    fn the_part_that_is_read_is_found() {
        let input = |resize| Input { width: 224, height: 224, resize, ..manifest().input };
        let stretch = input(Resize::Stretch);
        assert_eq!(part(&stretch, None, (640, 480)), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(part(&stretch, Some([0.5, 0.0, 0.5, 1.0]), (640, 480)), [0.5, 0.0, 0.5, 1.0]);
        let near = |found: [f32; 4], wanted: [f32; 4]| {
            assert!(found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-5), "{found:?} {wanted:?}");
        };
        // The middle square of seven eighths.
        let crop = input(Resize::Crop { short_side: 256 });
        near(part(&crop, None, (640, 480)), [110.0 / 640.0, 30.0 / 480.0, 420.0 / 640.0, 420.0 / 480.0]);
        near(part(&crop, Some([0.0, 0.0, 0.5, 0.5]), (512, 512)), [0.03125, 0.03125, 0.4375, 0.4375]);
    }

    #[test]
    fn maps_are_drawn_for_own_and_taught_labels() {
        let network = resnet8();
        let session = || Session::new(&network, foldnet_kernels::dispatch::best(), 1).unwrap();
        let maps = || HeatMaps::of(&network).unwrap();
        let pixels = |class: usize, n: usize| -> Vec<u8> {
            (0..3072).map(|i| ((i * (class * 7 + 3) + i / 96 * n) % 251) as u8).collect()
        };
        let mut teacher = Teacher::new([0; 32], Metric::of(&network).unwrap(), Other::Unknown);
        let mut learning = session();
        for (class, n) in (0..2).flat_map(|class| (0..10).map(move |n| (class, n))) {
            let pixels = pixels(class, n);
            let (_, features) = learning.run_with_features(&pixels).unwrap();
            teacher.add(["mug", "cup"][class], Example::new(&pixels, features)).unwrap();
        }
        let teaching = teacher.finish(FalseAlarms::percent(5.0).unwrap()).unwrap();
        let mut own =
            Explainer { session: session(), maps: maps(), pair: false, teaching: None, own: Vec::new() };
        let mut taught = Explainer {
            session: session(),
            maps: maps(),
            pair: false,
            teaching: Some(teaching),
            own: Vec::new(),
        };
        for explainer in [&mut own, &mut taught] {
            let drawn = explainer.explain(&pixels(1, 3), 1);
            assert_eq!((drawn.none.as_deref(), drawn.width * drawn.height), (None, drawn.cells.len()));
            assert!(drawn.cells.contains(&255), "the greatest is 255");
            assert!(explainer.explain(&[0; 12], 1).none.is_some());
        }
        assert!(taught.explain(&pixels(1, 3), 2).none.unwrap().contains("no class"));
        assert!(own.explain(&pixels(1, 3), 10).none.is_some());
        // The second map would come too soon.
        let mut heat = Heat::new(|| Err("no such head".into()));
        let drawn = heat.draw(&pixels(0, 0), Some(1), [0.0; 4]).unwrap();
        assert_eq!(drawn.none.as_deref(), Some("no such head"));
        assert_eq!(heat.draw(&pixels(0, 0), Some(1), [0.0; 4]), None);
    }
}
