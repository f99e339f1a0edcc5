//! `moorline backup` and `moorline restore`: copies of a hub's store.

use std::path::PathBuf;

use moorline_core::options::HubOptions;

use crate::args::CopyArgs;
use crate::config::Layers;
use crate::exit::{Exit, Failure};
use crate::output;

/// Copies the store.
pub(crate) fn backup(args: &CopyArgs) -> Result<Exit, Failure> {
    let store = store(args)?;
    moorline_driver::backup_store(&store, &args.copy)?;
    output::note(&format!("{} holds a copy of {}", args.copy.display(), store.display()));
    Ok(Exit::Success)
}

/// Puts the copy in the place of the store.
pub(crate) fn restore(args: &CopyArgs) -> Result<Exit, Failure> {
    let store = store(args)?;
    let kept = moorline_driver::restore_store(&args.copy, &store)?;
    output::note(&format!("{} is {} again", store.display(), args.copy.display()));
    if let Some(kept) = kept {
        output::note(&format!("what it was before is in {}", kept.display()));
    }
    Ok(Exit::Success)
}

/// Finds out which store is meant.
fn store(args: &CopyArgs) -> Result<PathBuf, Failure> {
    if let Some(store) = &args.store {
        return Ok(store.clone());
    }
    let mut layers = Layers::new(HubOptions::fields());
    layers.sources(&args.sources)?;
    let path = layers.read::<HubOptions>()?.runtime.store_path;
    if path.is_empty() {
        return Err(Failure::usage("no store is named; give --store FILE, or the hub's --config"));
    }
    Ok(PathBuf::from(path))
}
