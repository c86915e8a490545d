//! From received files to a release that runs, or back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::slots::{SLOTS, State, system};
use super::{Device, files, health, lock, receive, service, signature};
use crate::protocol::{ARCHIVE, Kind, RUNTIME, Refusal, Release, SIGNATURE, Slot};

/// How patient a trial is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first classification, and for the service to come up.
    pub health: Duration,
    /// The service must then stay up for this long.
    pub settle: Duration,
}

/// Fills the slot that does not run, proves it, switches to it, and goes back if it does not hold.
pub fn install(
    device: &Device,
    lock: &lock::Lock,
    release: &Release,
    patience: Patience,
    step: &mut dyn FnMut(&str),
) -> Result<(), Refusal> {
    let current = device.current_slot();
    let target = SLOTS.into_iter().find(|s| Some(*s) != current.as_deref()).expect("there are two");
    step(&format!("filling slot {target}"));
    let draft = format!("{target}.new");
    let new = device.slot(&draft);
    let filled = fill(device, release, &new);
    if filled.is_err() {
        let _ = files::clear(&new);
    }
    filled?;
    // What does not even classify leaves both slots as they are.
    let proven = prove(device, &draft, release, patience, step);
    if proven.is_err() {
        let _ = files::clear(&new);
        receive::clear(device)?;
    }
    proven?;
    // From here on the slot's old release is gone.
    let mut state = device.state();
    state.slots.retain(|s| s.slot != target);
    device.write_state(&state)?;
    let folder = device.slot(target);
    files::clear(&folder).map_err(system(&folder))?;
    fs::rename(&new, &folder).map_err(system(&folder))?;
    files::sync_folder(&device.root.join("slots")).map_err(system(&folder))?;

    state.serial += 1;
    let slot = Slot {
        slot: target.into(),
        serial: state.serial,
        release: release.id(),
        archive: release.files.iter().find(|f| f.name == ARCHIVE).expect("checked").sha256.clone(),
    };
    let done = trial(device, state, slot, release, patience, step);
    device.recover(lock)?;
    if done.is_err() {
        let _ = files::clear(&folder);
    }
    receive::clear(device)?;
    done
}

/// Goes back to the other slot.
pub fn rollback(device: &Device, patience: Patience, step: &mut dyn FnMut(&str)) -> Result<(), Refusal> {
    let (state, current) = (device.state(), device.current_slot());
    let other = SLOTS.iter().filter(|s| Some(**s) != current.as_deref()).find_map(|s| state.slot(s));
    let Some(slot) = other.cloned() else {
        let message = "there is no earlier release to go back to".into();
        return Err(Refusal { kind: Kind::Nothing, message });
    };
    let release = device.check_slot(&slot.slot)?;
    prove(device, &slot.slot, &release, patience, step)?;
    trial(device, state, slot, &release, patience, step)
}

/// Makes a slot's folder under another name, complete and on disk.
fn fill(device: &Device, release: &Release, new: &Path) -> Result<(), Refusal> {
    files::clear(new).map_err(system(new))?;
    fs::create_dir(new).map_err(system(new))?;
    for file in &release.files {
        let Some(from) = receive::find(device, file) else {
            let message = format!("{} has not been received", file.name);
            return Err(Refusal { kind: Kind::Checksum, message });
        };
        let to = new.join(&file.name);
        files::copy(&from, &to, file.name == RUNTIME).map_err(system(&to))?;
    }
    let text = serde_json::to_vec_pretty(release).expect("plain data");
    let path = new.join("release.json");
    files::write(&path, &text).map_err(system(&path))
}

/// Refuses a slot whose bytes, signature, first classification or arithmetic are not right.
fn prove(
    device: &Device,
    slot: &str,
    release: &Release,
    patience: Patience,
    step: &mut dyn FnMut(&str),
) -> Result<(), Refusal> {
    step("checking the release");
    device.check_slot(slot)?;
    let folder = device.slot(slot);
    let signed = release.files.iter().any(|f| f.name == SIGNATURE);
    signature::check(device, &folder.join(ARCHIVE), signed.then(|| folder.join(SIGNATURE)).as_deref())?;
    step("first classification");
    health::classifies(device, &folder, patience.health)?;
    step("comparing its bits");
    health::verifies(device, &folder, patience.health)
}

/// Switches, and switches back when the service does not hold.
fn trial(
    device: &Device,
    mut state: State,
    slot: Slot,
    release: &Release,
    patience: Patience,
    step: &mut dyn FnMut(&str),
) -> Result<(), Refusal> {
    let (name, before) = (slot.slot.clone(), device.current_slot());
    let old = state.clone();
    state.slots.retain(|s| s.slot != name);
    state.slots.push(slot);
    state.trial = Some((name.clone(), before.clone()));
    device.write_state(&state)?;
    let mark = service::mark(device);
    step("switching");
    let held = device.switch(Some(&name)).and_then(|()| {
        if !release.service {
            service::stop(device);
            return Ok(());
        }
        step("starting the camera service");
        service::restart(device)?;
        service::settles(device, mark, patience.health, patience.settle)
    });
    match held {
        Ok(()) => {
            state.trial = None;
            state.last = Some(format!("release {} runs", release.id()));
            if let Some(advice) = service::needs_linger(device).filter(|_| release.service) {
                step(advice);
            }
            device.write_state(&state)
        }
        Err(refusal) => {
            step("returning to the old release");
            device.switch(before.as_deref())?;
            let last = Some(format!("release {} taken back: {refusal}", release.id()));
            device.write_state(&State { last, serial: state.serial, ..old })?;
            match before.map(|b| device.check_slot(&b)) {
                Some(Ok(old)) if old.service => service::restart(device)?,
                _ => service::stop(device),
            }
            Err(refusal)
        }
    }
}
