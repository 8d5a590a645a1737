//! The CRM that is protected: its site, its patients, and what attackers do to them.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::{
    operation::RequestIdExt,
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier},
};
use serde_json::{Value, json};

use super::{
    ACCOUNT, LOG_BUCKET, REGION, Range, TRAIL_ARN,
    account::architecture,
    attacker::Attacker,
    clients::Clients,
    error::{Context, Error, Result},
    event::Event,
    nurse::API_LOG_STREAM,
    stack::{Outputs, Parameters},
};

/// The name of its stack, and so of its trail.
pub(crate) const CRM: &str = "clinic";

/// The bucket of the site, which is called the same in every deployment here.
pub(crate) const SITE: &str = "clinic-sitebucket-0ea882b364bc5";

/// A page of it, and what CI/CD deployed there.
pub(crate) const PAGE: &str = "index.html";
const GOOD: &str = "<h1>The clinic</h1>";

/// A page with every character that a key may trip over.
pub(crate) const ODD_PAGE: &str = "/news 2026/50% off+more/caf\u{e9}?v=1&x=y.html";

/// The table of the patients, a patient, and a decoy.
pub(crate) const PATIENTS: &str = "Patients";
pub(crate) const PATIENT: &str = "P-1001";
pub(crate) const DECOY: &str = "HONEY-7";

/// The ARN of the table.
pub(crate) fn patients_arn() -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{PATIENTS}")
}

/// What its template is deployed with.
pub(crate) fn parameters() -> Parameters {
    let decoys = json!([{"patientId": DECOY, "lastName": "Doe", "firstName": "Jane"}]);
    let provider = "oidc-provider/token.actions.githubusercontent.com";
    [
        (
            "GitHubSubject",
            "repo:clinic/portal:ref:refs/heads/main".to_owned(),
        ),
        (
            "GitHubOidcProviderArn",
            format!("arn:aws:iam::{ACCOUNT}:{provider}"),
        ),
        ("DecoyPatients", decoys.to_string()),
        ("Architecture", architecture()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Holds the names that the drills use to what was deployed, and puts a patient into the table.
pub(crate) async fn furnish(aws: &Clients, deployed: &Outputs) -> Result<()> {
    let patients = patients_arn();
    for (output, name) in [
        ("SiteBucketName", SITE),
        ("TrailBucketName", LOG_BUCKET),
        ("TrailArn", TRAIL_ARN),
        ("PatientsTableArn", patients.as_str()),
    ] {
        let found = deployed.get(output).map(String::as_str);
        if found != Some(name) {
            return Err(Error::new(format!("{output} is {found:?}, not {name}")));
        }
    }
    let put = aws.dynamodb.put_item().table_name(PATIENTS);
    put.item("patientId", AttributeValue::S(PATIENT.to_owned()))
        .item("lastName", AttributeValue::S("Roe".to_owned()))
        .item("firstName", AttributeValue::S("Richard".to_owned()))
        .send()
        .await
        .context("dynamodb:PutItem")?;
    let group = deployed.get("ApiLogGroupName");
    let stream = aws.logs.create_log_stream().log_stream_name(API_LOG_STREAM);
    let made = stream.set_log_group_name(group.cloned()).send().await;
    made.context("logs:CreateLogStream").map(|_| ())
}

impl Range {
    /// What is on the site under `key`; none when nothing is.
    pub(crate) async fn page(&self, key: &str) -> Result<Option<String>> {
        read(&self.aws, SITE, key).await
    }

    /// The bodies of what `incident` put in quarantine.
    pub(crate) async fn evidence(&self, incident: &str) -> Result<Vec<String>> {
        let bucket = self.output("QuarantineBucketName")?;
        let list = self.aws.s3.list_objects_v2().bucket(bucket);
        let listed = list.prefix(format!("{incident}/")).send().await;
        let mut bodies = Vec::new();
        for object in listed.context("s3:ListObjectsV2")?.contents() {
            let key = object.key().unwrap_or_default();
            bodies.extend(read(&self.aws, bucket, key).await?);
        }
        Ok(bodies)
    }
}

async fn read(aws: &Clients, bucket: &str, key: &str) -> Result<Option<String>> {
    let got = match aws.s3.get_object().bucket(bucket).key(key).send().await {
        Ok(got) => got,
        Err(error)
            if error
                .as_service_error()
                .is_some_and(aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).context("s3:GetObject"),
    };
    let body = got.body.collect().await.context("reading a page")?;
    let text = String::from_utf8(body.to_vec()).context("a page that is no text")?;
    Ok(Some(text))
}

impl Attacker {
    /// Deploys the page `key`, as CI/CD does.
    pub(crate) async fn deploy(&self, key: &str) -> Result<Event> {
        self.write(key, GOOD).await
    }

    /// Writes `body` under `key` of the site.
    pub(crate) async fn write(&self, key: &str, body: &str) -> Result<Event> {
        let call = self.aws.s3.put_object().bucket(SITE).key(key);
        let call = call.body(ByteStream::from(body.as_bytes().to_vec()));
        let put = call.send().await;
        let put = put.context(format!("{} calls s3:PutObject", self.who))?;
        let answer = json!({"x-amz-version-id": put.version_id()});
        Ok(self.of_object("PutObject", key, answer, put.extended_request_id()))
    }

    /// Deletes the page `key`.
    pub(crate) async fn delete(&self, key: &str) -> Result<Event> {
        let call = self.aws.s3.delete_object().bucket(SITE).key(key);
        let deleted = call.send().await;
        let deleted = deleted.context(format!("{} calls s3:DeleteObject", self.who))?;
        let answer = json!({
            "x-amz-delete-marker": "true",
            "x-amz-version-id": deleted.version_id(),
        });
        Ok(self.of_object("DeleteObject", key, answer, deleted.extended_request_id()))
    }

    /// Deletes several pages in one call, of which CloudTrail names none.
    pub(crate) async fn wipe(&self, keys: &[&str]) -> Result<Event> {
        let mut delete = Delete::builder();
        for key in keys {
            let object = ObjectIdentifier::builder().key(*key).build();
            delete = delete.objects(object.context("an object")?);
        }
        let call = self.aws.s3.delete_objects().bucket(SITE);
        let call = call.delete(delete.build().context("a deletion")?);
        let wiped = call.send().await;
        let wiped = wiped.context(format!("{} calls s3:DeleteObjects", self.who))?;
        let request = json!({"bucketName": SITE, "delete": ""});
        let id = wiped.extended_request_id().unwrap_or_default();
        let event = Event::of_call(&self.identity, "s3", "DeleteObjects", &request, id);
        let bucket = format!("arn:aws:s3:::{SITE}");
        Ok(event.of_data(json!([
            {"type": "AWS::S3::Object", "ARNPrefix": format!("{bucket}/")},
            {"type": "AWS::S3::Bucket", "accountId": ACCOUNT, "ARN": bucket},
        ])))
    }

    fn of_object(&self, name: &str, key: &str, answer: Value, id: Option<&str>) -> Event {
        let request = json!({
            "bucketName": SITE,
            "Host": format!("{SITE}.s3.{REGION}.amazonaws.com"),
            "key": key,
        });
        let id = id.unwrap_or_default();
        let event = Event::of_call(&self.identity, "s3", name, &request, id);
        let bucket = format!("arn:aws:s3:::{SITE}");
        let mut event = event.of_data(json!([
            {"type": "AWS::S3::Object", "ARN": format!("{bucket}/{key}")},
            {"type": "AWS::S3::Bucket", "accountId": ACCOUNT, "ARN": bucket},
        ]));
        event.json["detail"]["responseElements"] = answer;
        event
    }

    /// Reads the record of a patient.
    pub(crate) async fn read_patient(&self, id: &str) -> Result<Event> {
        let call = self.aws.dynamodb.get_item().table_name(PATIENTS);
        let got = call
            .key("patientId", AttributeValue::S(id.to_owned()))
            .send()
            .await;
        let got = got.context(format!("{} calls dynamodb:GetItem", self.who))?;
        if got.item.is_none() {
            return Err(Error::new(format!("there is no patient {id}")));
        }
        Ok(self.of_table("GetItem", json!({"key": {"patientId": id}})))
    }

    /// Reads the whole table.
    pub(crate) async fn scan_patients(&self) -> Result<Event> {
        let scanned = self.aws.dynamodb.scan().table_name(PATIENTS).send().await;
        scanned.context(format!("{} calls dynamodb:Scan", self.who))?;
        Ok(self.of_table("Scan", json!({})))
    }

    fn of_table(&self, name: &str, mut request: Value) -> Event {
        request["tableName"] = PATIENTS.into();
        let event = Event::of_call(&self.identity, "dynamodb", name, &request, "");
        let mut event = event.of_data(json!([
            {"type": "AWS::DynamoDB::Table", "accountId": ACCOUNT, "ARN": patients_arn()},
        ]));
        event.json["detail"]["readOnly"] = true.into();
        event
    }
}
