//! Whole models in their scoring form, which the market stage publishes and every shard reads.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The newest version of each model. A clone costs one reference per model, so that a batch pins all that it sees.
#[derive(Debug, Clone, Default)]
pub struct Models(BTreeMap<String, Published>);

#[derive(Debug, Clone)]
struct Published {
    version: u64,
    form: Arc<dyn Any + Send + Sync>,
}

impl Models {
    /// The model and its version; None before it was first published.
    pub fn get<T: 'static>(&self, name: &str) -> Option<(&T, u64)> {
        let published = self.0.get(name)?;
        Some((published.form.downcast_ref()?, published.version))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the version in place of the one before.
    pub fn put(&mut self, name: &str, version: u64, form: Arc<dyn Any + Send + Sync>) {
        self.0.insert(name.to_owned(), Published { version, form });
    }
}
