//! An object that was opened to others: its ACL, with the object as it is.

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    operation::get_object_acl::GetObjectAclOutput,
    types::{AccessControlPolicy, Grant, Grantee, ObjectCannedAcl, Owner, Permission, Type},
};
use incident::ObjectKey;
use ledger::Hold;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker::Failure;

use crate::{QuarantineObject, history::NULL};

/// The mechanism of the hold on a version's ACL, before the version.
pub(crate) const MECHANISM: &str = "acl/";

/// An ACL as the ledger keeps it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Acl {
    owner: String,
    grants: Vec<Granted>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    permission: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

/// What became of an ACL.
pub(crate) enum Closed {
    /// It grants nobody but the owner anything.
    Already,
    /// It did, or would, take grants from others.
    Now { grants: usize },
    /// The object is gone.
    Gone,
}

impl QuarantineObject {
    /// Leaves an object to its owner alone. `hold` is asked to record the ACL before that.
    pub(crate) async fn close_acl(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        dry_run: bool,
        hold: impl AsyncFnOnce(Hold),
    ) -> Result<Closed, Failure> {
        let asked = self
            .s3
            .client
            .get_object_acl()
            .bucket(self.s3.site.as_str())
            .key(key.as_str())
            .set_version_id(version.map(str::to_owned))
            .expected_bucket_owner(&self.s3.owner)
            .send()
            .await;
        let found = match asked {
            Ok(found) => found,
            Err(error) => {
                let code = error.as_service_error().and_then(|error| error.code());
                return match code {
                    Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed") => Ok(Closed::Gone),
                    _ => Err(Failure::aws("s3:GetObjectAcl", &error)),
                };
            }
        };
        let acl = Acl::of(&found);
        let others = acl.grants.iter().filter(|grant| !acl.is_owners(grant));
        let grants = others.count();
        if grants == 0 {
            return Ok(Closed::Already);
        }
        if dry_run {
            return Ok(Closed::Now { grants });
        }
        hold(Hold {
            resource: self.arn(key),
            mechanism: format!("{MECHANISM}{}", version.unwrap_or(NULL)),
            original: serde_json::to_value(&acl)
                .map_err(|error| Failure::Rejected(format!("the ACL is not JSON: {error}")))?,
        })
        .await;
        self.s3
            .client
            .put_object_acl()
            .bucket(self.s3.site.as_str())
            .key(key.as_str())
            .set_version_id(version.map(str::to_owned))
            .expected_bucket_owner(&self.s3.owner)
            .acl(ObjectCannedAcl::Private)
            .send()
            .await
            .map(|_| Closed::Now { grants })
            .map_err(|error| Failure::aws("s3:PutObjectAcl", &error))
    }

    /// Puts an ACL back as a hold keeps it. A version that is gone has none.
    pub(crate) async fn open_acl(
        &self,
        key: &ObjectKey,
        version: &str,
        original: &Value,
    ) -> Result<(), Failure> {
        let acl: Acl = serde_json::from_value(original.clone())
            .map_err(|error| Failure::Rejected(format!("the ACL is not readable: {error}")))?;
        let put = self
            .s3
            .client
            .put_object_acl()
            .bucket(self.s3.site.as_str())
            .key(key.as_str())
            .set_version_id((version != NULL).then(|| version.to_owned()))
            .expected_bucket_owner(&self.s3.owner)
            .access_control_policy(acl.policy()?)
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error().and_then(|error| error.code()) {
                Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed") => Ok(()),
                _ => Err(Failure::aws("s3:PutObjectAcl", &error)),
            },
        }
    }
}

impl Acl {
    fn of(found: &GetObjectAclOutput) -> Self {
        let owner = found.owner().and_then(Owner::id).unwrap_or_default();
        let grants = found.grants().iter().map(|grant| {
            let grantee = grant.grantee();
            let of = |get: fn(&Grantee) -> Option<&str>| grantee.and_then(get).map(str::to_owned);
            Granted {
                permission: grant.permission().map_or("", Permission::as_str).to_owned(),
                id: of(Grantee::id),
                uri: of(Grantee::uri),
            }
        });
        Self {
            owner: owner.to_owned(),
            grants: grants.collect(),
        }
    }

    fn is_owners(&self, grant: &Granted) -> bool {
        grant.id.as_ref() == Some(&self.owner)
    }

    fn policy(&self) -> Result<AccessControlPolicy, Failure> {
        let grants = self.grants.iter().map(|granted| {
            let kind = match granted.uri {
                Some(_) => Type::Group,
                None => Type::CanonicalUser,
            };
            let grantee = Grantee::builder()
                .r#type(kind)
                .set_id(granted.id.clone())
                .set_uri(granted.uri.clone())
                .build()
                .map_err(|error| Failure::Rejected(error.to_string()))?;
            Ok(Grant::builder()
                .grantee(grantee)
                .permission(granted.permission.as_str().into())
                .build())
        });
        Ok(AccessControlPolicy::builder()
            .owner(Owner::builder().id(&self.owner).build())
            .set_grants(Some(grants.collect::<Result<_, Failure>>()?))
            .build())
    }
}
