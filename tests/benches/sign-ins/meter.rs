//! What DynamoDB would charge for the calls that are made, retries aside.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::BoxError,
    operation::{
        get_item::GetItemInput, put_item::PutItemInput, query::QueryOutput,
        update_item::UpdateItemInput,
    },
    types::AttributeValue,
};

/// Counts the calls of every client that it is given to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Used>>);

/// Calls, and what is charged for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used {
    pub(crate) calls: u32,
    pub(crate) write_units: u32,
    pub(crate) read_units: u32,
}

impl Meter {
    fn add(&self, write_units: u32, read_units: u32) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.calls += 1;
        used.write_units += write_units;
        used.read_units += read_units;
    }

    pub(crate) fn used(&self) -> Used {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input();
        let put = input.downcast_ref::<PutItemInput>();
        if put.is_some() || input.downcast_ref::<UpdateItemInput>().is_some() {
            // A write whose condition fails is charged as well.
            let bytes = put.and_then(PutItemInput::item).map_or(0, size);
            self.add(units(bytes, 1_024), 0);
        }
        if input.downcast_ref::<GetItemInput>().is_some() {
            // What is read by its key alone is small.
            self.add(0, 1);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let output = context.output_or_error().and_then(Result::ok);
        if let Some(query) = output.and_then(|output| output.downcast_ref::<QueryOutput>()) {
            let bytes = query.items().iter().map(size).sum();
            self.add(0, units(bytes, 4_096));
        }
        Ok(())
    }
}

/// Consistent reads and plain writes are charged by what they touch, and at least one unit.
fn units(bytes: usize, of: usize) -> u32 {
    u32::try_from(bytes.div_ceil(of).max(1)).unwrap_or(u32::MAX)
}

/// Names and values, as DynamoDB measures an item of texts and numbers.
fn size(item: &HashMap<String, AttributeValue>) -> usize {
    item.iter()
        .map(|(name, value)| {
            name.len()
                + match value {
                    AttributeValue::S(text) => text.len(),
                    AttributeValue::N(digits) => digits.len() / 2 + 1,
                    _ => 0,
                }
        })
        .sum()
}
