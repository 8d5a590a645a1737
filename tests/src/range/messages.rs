//! What people were told.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::{
    Range,
    clients::Clients,
    error::{Context, Result},
};

/// One message of the topic.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Its subject, as in an e-mail.
    pub(crate) subject: String,
    /// Its facts, as machines get them.
    pub(crate) facts: Value,
}

impl Message {
    /// Why it was sent, such as `opened` or `closed`.
    pub(crate) fn occasion(&self) -> &str {
        self.facts["occasion"].as_str().unwrap_or_default()
    }
}

/// Subscribes a new queue to `topic`, and answers its address.
pub(crate) async fn listen(aws: &Clients, topic: &str) -> Result<String> {
    let created = aws.sqs.create_queue().queue_name("people").send().await;
    let queue = created
        .context("sqs:CreateQueue")?
        .queue_url
        .context("no queue was created")?;
    let asked = aws
        .sqs
        .get_queue_attributes()
        .queue_url(&queue)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .context("sqs:GetQueueAttributes")?;
    let arn = asked
        .attributes
        .as_ref()
        .and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn))
        .context("the queue has no ARN")?;
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }]});
    aws.sqs
        .set_queue_attributes()
        .queue_url(&queue)
        .set_attributes(Some(HashMap::from([(
            QueueAttributeName::Policy,
            policy.to_string(),
        )])))
        .send()
        .await
        .context("sqs:SetQueueAttributes")?;
    aws.sns
        .subscribe()
        .topic_arn(topic)
        .protocol("sqs")
        .endpoint(arn)
        .send()
        .await
        .context("sns:Subscribe")?;
    Ok(queue)
}

impl Range {
    /// What people were told since this was last asked, in order.
    pub(crate) async fn messages(&self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let call = self.aws.sqs.receive_message().queue_url(&self.queue);
            let received = call.max_number_of_messages(10).send().await;
            let received = received.context("sqs:ReceiveMessage")?;
            if received.messages().is_empty() {
                return Ok(messages);
            }
            for message in received.messages() {
                messages.push(read(message.body().unwrap_or_default())?);
                let call = self.aws.sqs.delete_message().queue_url(&self.queue);
                let handle = message.receipt_handle().unwrap_or_default();
                let deleted = call.receipt_handle(handle).send().await;
                deleted.context("sqs:DeleteMessage")?;
            }
        }
    }
}

/// Reads SNS's envelope.
fn read(body: &str) -> Result<Message> {
    let envelope: Value = serde_json::from_str(body).context("reading a message")?;
    let facts = envelope["Message"].as_str().unwrap_or_default();
    Ok(Message {
        subject: envelope["Subject"].as_str().unwrap_or_default().to_owned(),
        facts: serde_json::from_str(facts).context(format!("reading the message {facts}"))?,
    })
}
