//! Every kind of call, by the shape that CloudTrail writes it in.

use incident::TableArn;
use serde_json::{Value, json};

use crate::{Access, Aim, Certainty, Decoys, access, aim};

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/Charts";
const OTHER: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/Charts-archive";

fn table() -> TableArn {
    TABLE.parse().unwrap()
}

/// A successful call that has the table among its resources.
fn record(name: &str, request: Value) -> Value {
    json!({
        "eventSource": "dynamodb.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-west-1",
        "recipientAccountId": "123456789012",
        "requestParameters": request,
        "responseElements": null,
        "resources": [{"type": "AWS::DynamoDB::Table", "accountId": "123456789012", "ARN": TABLE}],
    })
}

/// The same, with fields replaced.
fn with(mut record: Value, changes: Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        record[field] = value.clone();
    }
    record
}

/// What was done, and how certainly decoys were read and written: `mrn = DECOY-1` alone, and
/// `clinic = north` with `visit = 7`.
fn line_of(record: &Value) -> String {
    let Some(access) = access(record, &table()) else {
        return "nothing".to_owned();
    };
    let decoys: Decoys = r#"[{"mrn":"DECOY-1"},{"clinic":"north","visit":7}]"#
        .parse()
        .unwrap();
    let mut line = access.to_string();
    for (what, certainty) in [
        ("read", decoys.read_by(&access)),
        ("written", decoys.written_by(&access)),
    ] {
        match certainty {
            Certainty::No => {}
            certainty => {
                let certainty = format!("{certainty:?}").to_lowercase();
                line = format!("{line}; decoy {certainty} {what}");
            }
        }
    }
    line
}

fn line(name: &str, request: Value) -> String {
    line_of(&record(name, request))
}

fn lines<const N: usize>(name: &str, requests: [Value; N]) -> String {
    requests.map(|request| line(name, request)).join("\n")
}

fn statements(name: &str, list: &str, texts: &[&str]) -> String {
    let texts: Vec<Value> = texts
        .iter()
        .map(|text| json!({"statement": text}))
        .collect();
    line(name, json!({list: texts}))
}

#[test]
fn an_item_is_read_by_its_key() {
    let get = |key: Value| line("GetItem", json!({"tableName": "Charts", "key": key}));
    for key in [
        json!({"mrn": "DECOY-1"}),
        json!({"mrn": {"S": "DECOY-1"}}),
        json!({"visit": 7, "clinic": "north"}),
        json!({"visit": "7", "clinic": "north"}),
        json!({"visit": {"N": "7.0"}, "clinic": {"S": "north"}}),
    ] {
        assert_eq!(get(key.clone()), "read; decoy exactly read", "{key}");
    }
    let arn_and_capitals = json!({"TableName": TABLE, "Key": {"mrn": "DECOY-1"}});
    assert_eq!(
        line("GetItem", arn_and_capitals),
        "read; decoy exactly read"
    );
}

#[test]
fn a_key_of_the_decoys_schema_that_is_another_is_no_decoy() {
    let decoys: Decoys = r#"[{"mrn":"DECOY-1"}]"#.parse().unwrap();
    let read_by = |key: Value| {
        let record = record("GetItem", json!({"tableName": "Charts", "key": key}));
        decoys.read_by(&access(&record, &table()).unwrap())
    };
    assert_eq!(read_by(json!({"mrn": "DECOY-1"})), Certainty::Exactly);
    assert_eq!(read_by(json!({"mrn": "decoy-1"})), Certainty::No);
    assert_eq!(read_by(json!({"mrn": {"S": "M-17"}})), Certainty::No);
    assert_eq!(read_by(json!({"MRN": "DECOY-1"})), Certainty::Possibly);
    assert_eq!(
        read_by(json!({"mrn": "***(Redacted)"})),
        Certainty::Possibly
    );
    assert_eq!(read_by(json!({})), Certainty::Possibly);
    assert_eq!(read_by(json!("DECOY-1")), Certainty::Possibly);
}

#[test]
fn without_decoys_none_is_touched() {
    let none = Decoys::default();
    for (name, request) in [
        ("Scan", json!({"tableName": "Charts"})),
        ("DeleteTable", json!({"tableName": "Charts"})),
        ("CreateBackup", json!({"tableName": "Charts"})),
        ("ExecuteStatement", json!(null)),
    ] {
        let access = access(&record(name, request), &table()).unwrap();
        assert_eq!(none.read_by(&access), Certainty::No);
        assert_eq!(none.written_by(&access), Certainty::No);
    }
}

#[test]
fn a_query_reads_what_has_the_key() {
    let query = |changes: Value| {
        let by_partition = json!({
            "tableName": "Charts",
            "key": {"clinic": "north"},
            "keyConditionExpression": "#n0 = :v0",
            "expressionAttributeNames": {"#n0": "clinic"},
        });
        line("Query", with(by_partition, changes))
    };
    insta::assert_snapshot!([
        query(json!({})),
        query(json!({"key": {"mrn": "DECOY-1"}})),
        query(json!({"key": {"mrn": "DECOY-1"}, "filterExpression": "#a = :a", "limit": 1})),
        query(json!({"key": {"mrn": {"S": "DECOY-1"}}, "select": "COUNT"})),
        query(json!({"key": {"clinic": "north", "visit": 7}, "keyConditionExpression": "#a = :a and #b = :b"})),
        query(json!({"keyConditionExpression": null, "keyConditions": {"clinic": {"comparisonOperator": "EQ"}}})),
    ].join("\n"), @r"
    read; decoy certainly read
    read; decoy exactly read
    read; decoy exactly read
    read; decoy exactly read
    read; decoy exactly read
    read; decoy certainly read
    ");
    // Whether the decoy is among what was read is not recorded.
    for changes in [
        json!({"keyConditionExpression": "#n0 = :v0 AND begins_with(#n1, :v1)"}),
        json!({"keyConditionExpression": "#n0 = :v0 and #n1 BETWEEN :a AND :b"}),
        json!({"keyConditionExpression": null}),
        json!({"keyConditionExpression": null, "keyConditions": {"clinic": {}, "visit": {}}}),
        json!({"filterExpression": "#a = :a"}),
        json!({"queryFilter": {"a": {"comparisonOperator": "GT"}}}),
        json!({"limit": 20}),
        json!({"exclusiveStartKey": {"clinic": "north", "visit": 2}}),
        json!({"select": "COUNT"}),
        json!({"key": null}),
        json!({"indexName": "surname-index", "key": {"surname": "Qx"}}),
    ] {
        assert_eq!(
            query(changes.clone()),
            "read; decoy possibly read",
            "{changes}"
        );
    }
}

#[test]
fn a_scan_reads_all_unless_something_narrows_it() {
    let scans = [
        json!({}),
        json!({"limit": null, "consistentRead": true, "totalSegments": 1, "segment": 0}),
        json!({"select": "SPECIFIC_ATTRIBUTES", "projectionExpression": "mrn"}),
        json!({"totalSegments": 8, "segment": 3}),
        json!({"segment": 3}),
        json!({"exclusiveStartKey": {"mrn": "M-17"}}),
        json!({"indexName": "surname-index"}),
        json!({"filterExpression": "attribute_exists(mrn)"}),
        json!({"scanFilter": {"mrn": {"comparisonOperator": "NOT_NULL"}}}),
        json!({"limit": 50, "select": "ALL_ATTRIBUTES"}),
        json!({"limit": 1}),
        json!({"limit": 1, "exclusiveStartKey": {"mrn": "M-17"}}),
        json!({"select": "COUNT"}),
        json!({"select": "COUNT", "filterExpression": "#a = :a"}),
    ]
    .map(|request| {
        let request = with(request, json!({"tableName": "Charts"}));
        let record = record("Scan", request);
        let Some(Access::Items(items)) = access(&record, &table()) else {
            panic!("no items");
        };
        let is = |what, is| if is { what } else { "" };
        format!(
            "{}{}{}{}",
            line_of(&record),
            is("; drains", items.drains()),
            is("; probes", items.probes()),
            is("; counts", items.counts()),
        )
    });
    insta::assert_snapshot!(scans.join("\n"), @"
    read as a whole; decoy certainly read; drains
    read as a whole; decoy certainly read; drains
    read as a whole; decoy certainly read; drains
    read as a whole; decoy possibly read; drains
    read as a whole; decoy possibly read; drains
    read as a whole; decoy possibly read; drains
    read as a whole; decoy possibly read; drains
    read; decoy possibly read
    read; decoy possibly read
    read; decoy possibly read
    read; decoy possibly read; probes
    read; decoy possibly read
    counted; counts
    read; decoy possibly read
    ");
}

#[test]
fn what_a_request_leaves_out_is_possible() {
    for omitted in [
        json!(null),
        json!({"omitted": true, "originalSize": 131_072}),
        json!("?"),
        json!([]),
    ] {
        let lines = [
            "GetItem",
            "BatchGetItem",
            "TransactGetItems",
            "Query",
            "Scan",
            "PutItem",
            "UpdateItem",
            "DeleteItem",
            "BatchWriteItem",
            "TransactWriteItems",
            "ExecuteStatement",
            "BatchExecuteStatement",
            "ExecuteTransaction",
        ]
        .map(|name| format!("{name}: {}", line(name, omitted.clone())));
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines.join("\n"), @"
            GetItem: read; decoy possibly read
            BatchGetItem: read; decoy possibly read
            TransactGetItems: read; decoy possibly read
            Query: read; decoy possibly read
            Scan: read; decoy possibly read
            PutItem: read and written; decoy possibly read; decoy possibly written
            UpdateItem: read and written; decoy possibly read; decoy possibly written
            DeleteItem: read and written; decoy possibly read; decoy possibly written
            BatchWriteItem: written; decoy possibly written
            TransactWriteItems: read and written; decoy possibly read; decoy possibly written
            ExecuteStatement: read and written; decoy possibly read; decoy possibly written
            BatchExecuteStatement: read and written; decoy possibly read; decoy possibly written
            ExecuteTransaction: read and written; decoy possibly read; decoy possibly written
            ");
        }
    }
}

#[test]
fn one_write_reads_when_it_asks_for_values() {
    for name in ["PutItem", "UpdateItem", "DeleteItem"] {
        let write = |changes: Value| {
            let request =
                json!({"tableName": "Charts", "key": {"mrn": "DECOY-1"}, "items": ["mrn", "a"]});
            line(name, with(request, changes))
        };
        for changes in [
            json!({}),
            json!({"returnValues": "NONE"}),
            json!({"returnValuesOnConditionCheckFailure": "ALL_OLD"}),
        ] {
            assert_eq!(write(changes), "written; decoy exactly written", "{name}");
        }
        for values in ["ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"] {
            assert_eq!(
                write(json!({"returnValues": values})),
                "read and written; decoy exactly read; decoy exactly written",
                "{name} {values}"
            );
        }
    }
    let other = json!({"tableName": "Charts", "key": {"mrn": "M-17", "visit": 1}, "attributeUpdates": {"a": {"action": "PUT"}}, "ReturnValues": "ALL_NEW"});
    assert_eq!(line("UpdateItem", other), "read and written");
}

#[test]
fn a_batch_is_a_map_by_table_or_a_list() {
    let many: Vec<Value> = (0..60)
        .map(|n| json!({"mrn": if n == 41 { "DECOY-1".to_owned() } else { format!("M-{n}") }}))
        .collect();
    insta::assert_snapshot!(lines("BatchGetItem", [
        json!({"requestItems": {"Charts": {"keys": many}}}),
        json!({"requestItems": {TABLE: {"Keys": [{"mrn": {"S": "DECOY-1"}}]}, "Visits": {"Keys": [{"id": "v"}]}}}),
        json!({"RequestItems": [{"tableName": "Charts", "keys": [{"mrn": "M-1", "visit": 1}, {"mrn": "DECOY-1"}]}]}),
        json!({"requestItems": {"Charts": {"keys": [{"mrn": "M-1", "visit": 1}]}, "Charts-archive": {"keys": [{"mrn": "DECOY-1"}]}}}),
        json!({"requestItems": {"Charts": {"keys": [{"mrn": "M-1", "visit": 1}, 7]}}}),
        json!({"requestItems": {"Charts": {"keys": []}}}),
        json!({"requestItems": {"Charts": 7}}),
        json!({"requestItems": {"Charts-archive": {"keys": [{"mrn": "DECOY-1"}]}}}),
    ]), @"
    read; decoy exactly read
    read; decoy exactly read
    read; decoy exactly read
    read
    read; decoy possibly read
    read; decoy possibly read
    read; decoy possibly read
    read; decoy possibly read
    ");
    insta::assert_snapshot!(lines("BatchWriteItem", [
        json!({"requestItems": {"Charts": [{"putRequest": {"item": {"mrn": {"S": "DECOY-1"}, "a": {"M": {}}}}}]}}),
        json!({"requestItems": {"Charts": [{"DeleteRequest": {"Key": {"mrn": "DECOY-1"}}}]}}),
        json!({"requestItems": [{"operation": "Put", "tableName": "Charts", "key": {"mrn": "DECOY-1"}, "items": ["mrn"]}]}),
        json!({"requestItems": {"Charts": [{"putRequest": {"item": ["mrn", "a"]}}]}}),
        json!({"requestItems": {"Charts": [{"deleteRequest": {"key": {"mrn": "M-1", "visit": 1}}}]}}),
    ]), @"
    written; decoy exactly written
    written; decoy exactly written
    written; decoy exactly written
    written; decoy possibly written
    written
    ");
}

#[test]
fn a_transaction_reads_what_it_gets_and_checks() {
    insta::assert_snapshot!(lines("TransactGetItems", [
        json!({"requestItems": [
            {"operation": "Get", "tableName": "Charts", "key": {"mrn": "M-1", "visit": 1}},
            {"operation": "Get", "TableName": "Charts", "Key": {"mrn": "DECOY-1"}},
        ]}),
        json!({"transactItems": [{"get": {"tableName": TABLE, "key": {"mrn": "DECOY-1"}}}]}),
        json!({"transactItems": [{"Get": {"TableName": "Visits", "Key": {"mrn": "DECOY-1"}}}, {"Get": {"TableName": "Charts", "Key": {"mrn": "M-1", "visit": 1}}}]}),
    ]), @"
    read; decoy exactly read
    read; decoy exactly read
    read
    ");
    let entry = |operation: &str| json!({"requestItems": [{"operation": operation, "tableName": "Charts", "key": {"mrn": "DECOY-1"}}]});
    insta::assert_snapshot!(lines("TransactWriteItems", [
        entry("Put"),
        entry("Update"),
        entry("Delete"),
        entry("ConditionCheck"),
        json!({"transactItems": [{"conditionCheck": {"tableName": "Charts", "key": {"mrn": "DECOY-1"}}}]}),
        json!({"TransactItems": [{"Update": {"TableName": "Charts", "Key": {"mrn": "DECOY-1"}}}]}),
        json!({"requestItems": [{"tableName": "Charts", "key": {"mrn": "DECOY-1"}}]}),
    ]), @"
    written; decoy exactly written
    written; decoy exactly written
    written; decoy exactly written
    read; decoy exactly read
    read; decoy exactly read
    written; decoy exactly written
    read and written; decoy exactly read; decoy exactly written
    ");
}

#[test]
fn a_failed_condition_may_answer_with_the_item() {
    let failed = |name: &str, code: &str, message: &str, request: Value| {
        line_of(&with(
            record(name, request),
            json!({"errorCode": code, "errorMessage": message}),
        ))
    };
    let update = |answers: Value| {
        failed(
            "UpdateItem",
            "ConditionalCheckFailedException",
            "The conditional request failed",
            json!({"tableName": "Charts", "key": {"mrn": "DECOY-1"}, "returnValues": "ALL_OLD", "returnValuesOnConditionCheckFailure": answers}),
        )
    };
    assert_eq!(update(json!("ALL_OLD")), "read; decoy exactly read");
    assert_eq!(update(json!("NONE")), "nothing");
    assert_eq!(update(json!(null)), "nothing");

    let cancelled = |message: &str| {
        failed(
            "TransactWriteItems",
            "TransactionCanceledException",
            message,
            json!({"requestItems": [
                {"operation": "Put", "tableName": "Charts", "key": {"mrn": "M-1", "visit": 1}},
                {"operation": "Update", "tableName": "Charts", "key": {"mrn": "DECOY-1"}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
            ]}),
        )
    };
    let reasons = "Transaction cancelled, please refer cancellation reasons for specific reasons";
    assert_eq!(
        cancelled(&format!("{reasons} [None, ConditionalCheckFailed]")),
        "read; decoy exactly read"
    );
    assert_eq!(
        cancelled(&format!("{reasons} [TransactionConflict, None]")),
        "nothing"
    );
    let check = json!({"requestItems": [{"operation": "ConditionCheck", "tableName": "Charts", "key": {"mrn": "DECOY-1"}}]});
    assert_eq!(
        failed(
            "TransactWriteItems",
            "TransactionCanceledException",
            "[ConditionalCheckFailed]",
            check
        ),
        "read; decoy exactly read"
    );

    let insert = json!({"statement": "INSERT INTO Charts VALUE {'mrn':'DECOY-1'}", "returnValuesOnConditionCheckFailure": "ALL_OLD"});
    assert_eq!(
        failed(
            "ExecuteStatement",
            "DuplicateItemException",
            "",
            insert.clone()
        ),
        "read; decoy exactly read"
    );
    // A batch succeeds, whatever came of its statements.
    assert_eq!(
        line("BatchExecuteStatement", json!({"statements": [insert]})),
        "read and written; decoy exactly read; decoy exactly written"
    );
}

#[test]
fn any_other_failed_call_did_nothing() {
    let name_and_request = [
        (
            "GetItem",
            json!({"tableName": "Charts", "key": {"mrn": "DECOY-1"}}),
        ),
        ("Scan", json!({"tableName": "Charts"})),
        (
            "UpdateItem",
            json!({"tableName": "Charts", "key": {"mrn": "DECOY-1"}, "returnValuesOnConditionCheckFailure": "ALL_OLD"}),
        ),
        (
            "ExecuteStatement",
            json!({"statement": "SELECT * FROM Charts"}),
        ),
        ("GetRecords", json!(null)),
        ("ExportTableToPointInTime", json!({"tableArn": TABLE})),
        ("DeleteTable", json!({"tableName": "Charts"})),
    ];
    for (name, request) in name_and_request {
        for code in [
            "AccessDenied",
            "AccessDeniedException",
            "ValidationException",
            "ResourceNotFoundException",
        ] {
            let failed = with(record(name, request.clone()), json!({"errorCode": code}));
            assert_eq!(line_of(&failed), "nothing", "{name} {code}");
        }
    }
    // A condition cannot fail where there is none.
    let odd = with(
        record("DeleteTable", json!(null)),
        json!({"errorCode": "ConditionalCheckFailedException"}),
    );
    assert_eq!(line_of(&odd), "nothing");
    let fine = with(record("DeleteTable", json!(null)), json!({"errorCode": ""}));
    assert_eq!(line_of(&fine), "deleted; decoy certainly written");
}

#[test]
fn statements_are_judged_one_by_one() {
    let one = |text: &str| line("ExecuteStatement", json!({"statement": text}));
    insta::assert_snapshot!([
        one("SELECT * FROM \"Charts\" WHERE mrn = 'DECOY-1'"),
        one("SELECT * FROM \"Charts\".\"surname-index\" WHERE surname = ***(Redacted)"),
        one("SELECT * FROM Charts.surname-index"),
        one("SELECT * FROM Charts"),
        one("SELECT * FROM Charts WHERE mrn <> 'M-1'"),
        one("SELECT * FROM Charts WHERE mrn = 'M-1' AND clinic = 'south'"),
        one("SELECT * FROM Charts WHERE mrn = ?"),
        one("UPDATE Charts SET a = ***(Redacted) WHERE mrn = 'DECOY-1'"),
        one("UPDATE Charts SET a = 1 WHERE mrn = 'DECOY-1' RETURNING ALL OLD *"),
        one("DELETE FROM Charts WHERE mrn = 'M-1' AND clinic = 'south' RETURNING ALL OLD *"),
        one("INSERT INTO Charts VALUE {'mrn' : 'DECOY-1', 'a' : ***(Redacted)}"),
        one("EXISTS(SELECT * FROM Charts WHERE mrn = 'DECOY-1' AND a = ***(Redacted))"),
        one("***(Redacted)"),
        one("SELECT * FROM Charts-archive"),
    ].join("\n"), @"
    read; decoy exactly read
    read; decoy possibly read
    read as a whole; decoy possibly read
    read as a whole; decoy certainly read
    read; decoy certainly read
    read
    read; decoy possibly read
    written; decoy exactly written
    read and written; decoy exactly read; decoy exactly written
    read and written
    written; decoy exactly written
    read; decoy exactly read
    read and written; decoy possibly read; decoy possibly written
    read and written; decoy possibly read; decoy possibly written
    ");
    let limited = json!({"statement": "SELECT * FROM Charts", "limit": 5});
    assert_eq!(
        line("ExecuteStatement", limited),
        "read; decoy possibly read"
    );
    let page = json!({"statement": "SELECT * FROM Charts", "nextToken": "x"});
    assert_eq!(
        line("ExecuteStatement", page),
        "read as a whole; decoy possibly read"
    );
    let parameter = json!({"statement": "SELECT * FROM Charts WHERE mrn = ?", "parameters": [{"S": "DECOY-1"}]});
    assert_eq!(
        line("ExecuteStatement", parameter),
        "read; decoy exactly read"
    );
}

#[test]
fn batches_and_transactions_of_statements() {
    for (name, list) in [
        ("BatchExecuteStatement", "requestItems"),
        ("BatchExecuteStatement", "statements"),
        ("ExecuteTransaction", "transactStatements"),
        ("ExecuteTransaction", "TransactStatements"),
        ("ExecuteTransaction", "requestItems"),
    ] {
        let of = |texts: &[&str]| statements(name, list, texts);
        let decoy = "SELECT * FROM Charts WHERE mrn = 'DECOY-1'";
        let other = "SELECT * FROM Visits WHERE mrn = 'DECOY-1'";
        let update = "UPDATE Charts SET a = 1 WHERE mrn = 'M-1' AND visit = 2";
        let insert = "INSERT INTO Charts VALUE {'mrn': 'M-2', 'visit': 3}";
        assert_eq!(of(&[decoy]), "read; decoy exactly read");
        assert_eq!(of(&[update, insert]), "written");
        assert_eq!(of(&[other, update]), "written");
        assert_eq!(
            of(&[update, decoy, other]),
            "read and written; decoy exactly read"
        );
        assert_eq!(
            of(&[update, "SELECT * FROM Charts"]),
            "read as a whole and written; decoy certainly read"
        );
    }
}

#[test]
fn a_table_is_copied_shared_or_deleted() {
    let to = |principal: &str| json!({"resourceArn": TABLE, "policy": json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": principal}}]}).to_string()});
    let calls = [
        (
            "GetRecords",
            json!({"shardIterator": format!("{TABLE}/stream/2026-11-01T00:00:00.000|1|AAAA")}),
        ),
        (
            "GetShardIterator",
            json!({"streamArn": format!("{TABLE}/stream/2026-11-01T00:00:00.000")}),
        ),
        (
            "ExportTableToPointInTime",
            json!({"tableArn": TABLE, "s3Bucket": "drop"}),
        ),
        (
            "CreateBackup",
            json!({"tableName": "Charts", "backupName": "b"}),
        ),
        (
            "RestoreTableToPointInTime",
            json!({"sourceTableName": "Charts", "targetTableName": "t"}),
        ),
        (
            "RestoreTableToPointInTime",
            json!({"sourceTableArn": TABLE, "targetTableName": "t"}),
        ),
        (
            "RestoreTableFromBackup",
            json!({"backupArn": format!("{TABLE}/backup/01"), "targetTableName": "t"}),
        ),
        (
            "UpdateTable",
            json!({"tableName": "Charts", "replicaUpdates": [{"create": {"regionName": "us-east-1"}}]}),
        ),
        (
            "UpdateGlobalTable",
            json!({"globalTableName": "Charts", "replicaUpdates": [{"create": {"regionName": "us-east-1"}}]}),
        ),
        ("CreateGlobalTable", json!({"globalTableName": "Charts"})),
        (
            "EnableKinesisStreamingDestination",
            json!({"tableName": "Charts"}),
        ),
        ("PutResourcePolicy", to("arn:aws:iam::999988887777:root")),
        (
            "PutResourcePolicy",
            to("arn:aws:iam::123456789012:user/eve"),
        ),
        (
            "PutResourcePolicy",
            json!({"resourceArn": format!("{TABLE}/stream/2026"), "policy": "…"}),
        ),
        ("DeleteTable", json!({"tableName": "Charts"})),
    ];
    let lines = calls.map(|(name, request)| {
        // Management events mostly have no resources.
        let record = with(record(name, request), json!({"resources": null}));
        format!("{name}: {}", line_of(&record))
    });
    insta::assert_snapshot!(lines.join("\n"), @"
    GetRecords: read through its stream; decoy possibly read
    GetShardIterator: read through its stream; decoy possibly read
    ExportTableToPointInTime: exported to S3; decoy certainly read
    CreateBackup: backed up; decoy certainly read
    RestoreTableToPointInTime: restored into another table; decoy certainly read
    RestoreTableToPointInTime: restored into another table; decoy certainly read
    RestoreTableFromBackup: restored into another table; decoy certainly read
    UpdateTable: replicated to another region; decoy certainly read
    UpdateGlobalTable: replicated to another region; decoy certainly read
    CreateGlobalTable: replicated to another region; decoy certainly read
    EnableKinesisStreamingDestination: streamed to Kinesis; decoy possibly read
    PutResourcePolicy: opened to others by its resource policy; decoy possibly read
    PutResourcePolicy: opened to principals of this account by its resource policy; decoy possibly read
    PutResourcePolicy: given a resource policy that the event does not show; decoy possibly read
    DeleteTable: deleted; decoy certainly written
    ");
    let deny = json!({"resourceArn": TABLE, "policy": "{\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\"}]}"});
    assert_eq!(line("PutResourcePolicy", deny), "nothing");
}

#[test]
fn other_calls_are_none_of_these() {
    for (name, request) in [
        ("DescribeTable", json!({"tableName": "Charts"})),
        ("ListStreams", json!({"tableName": "Charts"})),
        (
            "DescribeStream",
            json!({"streamArn": format!("{TABLE}/stream/2026")}),
        ),
        (
            "UpdateTable",
            json!({"tableName": "Charts", "provisionedThroughput": {"readCapacityUnits": 9}}),
        ),
        (
            "UpdateTable",
            json!({"tableName": "Charts", "replicaUpdates": [{"delete": {"regionName": "us-east-1"}}]}),
        ),
        (
            "ImportTable",
            json!({"tableCreationParameters": {"tableName": "Charts"}}),
        ),
        ("UpdateTimeToLive", json!({"tableName": "Charts"})),
    ] {
        let record = record(name, request);
        assert_eq!(aim(&record, &table()), None, "{name}");
        assert_eq!(line_of(&record), "nothing", "{name}");
    }
    let of_s3 = with(
        record("GetItem", json!(null)),
        json!({"eventSource": "s3.amazonaws.com"}),
    );
    assert_eq!(aim(&of_s3, &table()), None);
}

/// What a call is aimed at, with these resources.
fn aim_of(name: &str, request: &Value, resources: Value) -> Option<Aim> {
    let record = record(name, request.clone());
    aim(&with(record, json!({"resources": resources})), &table())
}

fn arn(arn: &str) -> Value {
    json!([{"ARN": arn}])
}

#[test]
fn a_table_is_known_by_whatever_names_it() {
    for (name, request, resources) in [
        ("GetItem", json!(null), arn(TABLE)),
        (
            "Query",
            json!(null),
            arn(&format!("{TABLE}/index/surname-index")),
        ),
        (
            "GetRecords",
            json!({"shardIterator": "AAAA"}),
            arn(&format!("{TABLE}/stream/2026")),
        ),
        ("GetItem", json!({"tableName": "Charts"}), json!([])),
        ("GetItem", json!({"tableName": TABLE}), json!(null)),
        (
            "BatchGetItem",
            json!({"requestItems": {"Visits": {}, "Charts": {}}}),
            json!(null),
        ),
        (
            "TransactGetItems",
            json!({"transactItems": [{"get": {"tableName": "Charts"}}]}),
            json!(null),
        ),
        (
            "ExecuteStatement",
            json!({"statement": format!("SELECT * FROM \"{TABLE}\".\"i\"")}),
            json!(null),
        ),
        (
            "BatchExecuteStatement",
            json!({"statements": [{"statement": "DELETE FROM Visits"}, {"statement": "DELETE FROM Charts"}]}),
            json!(null),
        ),
    ] {
        assert_eq!(
            aim_of(name, &request, resources),
            Some(Aim::Table),
            "{name} {request}"
        );
    }
}

#[test]
fn another_table_is_none_however_it_is_named() {
    for (name, request, resources) in [
        (
            "GetItem",
            json!({"tableName": "Charts-archive"}),
            arn(OTHER),
        ),
        ("GetItem", json!({"tableName": "charts"}), json!(null)),
        ("Scan", json!(null), arn(OTHER)),
        (
            "GetItem",
            json!({"tableName": TABLE.replace("123456789012", "999988887777")}),
            json!(null),
        ),
        (
            "GetItem",
            json!({"tableName": TABLE.replace("eu-west-1", "us-east-1")}),
            json!(null),
        ),
        (
            "ExecuteStatement",
            json!({"statement": "SELECT * FROM \"Charts-archive\""}),
            json!(null),
        ),
        (
            "RestoreTableFromBackup",
            json!({"backupArn": format!("{OTHER}/backup/01"), "targetTableName": "Charts"}),
            arn(TABLE),
        ),
    ] {
        assert_eq!(
            aim_of(name, &request, resources),
            Some(Aim::Elsewhere),
            "{name} {request}"
        );
    }
}

#[test]
fn a_record_may_not_say_which_table() {
    for (name, request, resources) in [
        ("GetItem", json!(null), json!([])),
        ("GetRecords", json!({"shardIterator": "AAAA"}), json!(null)),
        (
            "ExecuteStatement",
            json!({"statement": "***(Redacted)"}),
            json!(null),
        ),
        (
            "Scan",
            json!({"omitted": true}),
            arn("arn:aws:kms:eu-west-1:123456789012:key/1"),
        ),
    ] {
        assert_eq!(
            aim_of(name, &request, resources),
            Some(Aim::Unsaid),
            "{name} {request}"
        );
    }
}

#[test]
fn a_name_is_one_of_the_region_and_account_that_answered() {
    let elsewhere = |changes: Value| {
        let record = with(
            record("Scan", json!({"tableName": "Charts"})),
            json!({"resources": []}),
        );
        aim(&with(record, changes), &table())
    };
    assert_eq!(
        elsewhere(json!({"awsRegion": "us-east-1"})),
        Some(Aim::Elsewhere)
    );
    assert_eq!(
        elsewhere(json!({"recipientAccountId": "999988887777"})),
        Some(Aim::Elsewhere)
    );
    assert_eq!(
        elsewhere(json!({"awsRegion": null, "recipientAccountId": null})),
        Some(Aim::Table)
    );
}

#[test]
fn a_denial_names_its_table_in_the_message() {
    let denied = |arn: &str| {
        let message = format!(
            "User: arn:aws:iam::123456789012:user/eve is not authorized to perform: dynamodb:GetItem on resource: {arn} with an explicit deny in an identity-based policy"
        );
        let record = with(
            record("GetItem", json!(null)),
            json!({"resources": [], "errorCode": "AccessDenied", "errorMessage": message}),
        );
        assert_eq!(line_of(&record), "nothing");
        aim(&record, &table())
    };
    assert_eq!(denied(TABLE), Some(Aim::Table));
    assert_eq!(
        denied(&format!("{TABLE}/index/surname-index")),
        Some(Aim::Table)
    );
    assert_eq!(denied(OTHER), Some(Aim::Elsewhere));
    assert_eq!(denied("*"), Some(Aim::Unsaid));
}

#[test]
fn nothing_shows_a_key() {
    let decoys: Decoys = r#"[{"mrn":"SECRET-1"}]"#.parse().unwrap();
    assert_eq!(format!("{decoys:?}"), "Decoys(1)");
    for (name, request) in [
        (
            "GetItem",
            json!({"tableName": "Charts", "key": {"mrn": "SECRET-1"}}),
        ),
        (
            "UpdateItem",
            json!({"tableName": "Charts", "key": {"mrn": {"S": "SECRET-1"}}, "returnValues": "ALL_OLD"}),
        ),
        (
            "BatchGetItem",
            json!({"requestItems": {"Charts": {"keys": [{"mrn": "SECRET-1"}]}}}),
        ),
        (
            "ExecuteStatement",
            json!({"statement": "SELECT * FROM Charts WHERE mrn IN ['SECRET-1'] OR NOT surname = 'SECRET-2'"}),
        ),
    ] {
        let access = access(&record(name, request), &table()).unwrap();
        let shown = format!("{access:?} {access:#?} {access}");
        for word in ["SECRET", "mrn", "surname"] {
            assert!(!shown.contains(word), "{shown}");
        }
    }
}

/// Every place in a record, replaced by whatever JSON there is.
#[test]
fn no_record_is_too_broken() {
    let records = [
        record(
            "GetItem",
            json!({"tableName": "Charts", "key": {"mrn": {"S": "DECOY-1"}}}),
        ),
        record(
            "Query",
            json!({"tableName": "Charts", "key": {"clinic": "north"}, "keyConditionExpression": "#a = :a", "limit": 3}),
        ),
        record(
            "Scan",
            json!({"tableName": "Charts", "totalSegments": 3, "segment": 1}),
        ),
        record(
            "UpdateItem",
            json!({"tableName": "Charts", "key": {"visit": {"N": "7"}, "clinic": "north"}, "returnValues": "ALL_OLD"}),
        ),
        record(
            "BatchGetItem",
            json!({"requestItems": {"Charts": {"keys": [{"mrn": "DECOY-1"}]}}}),
        ),
        record(
            "TransactWriteItems",
            json!({"requestItems": [{"operation": "Put", "tableName": "Charts", "key": {"mrn": "DECOY-1"}}, {"put": {"item": {"mrn": "x"}}}]}),
        ),
        record(
            "ExecuteTransaction",
            json!({"transactStatements": [{"statement": "SELECT * FROM Charts WHERE mrn = ?", "parameters": ["DECOY-1"]}]}),
        ),
        record(
            "UpdateTable",
            json!({"tableName": "Charts", "replicaUpdates": [{"create": {"regionName": "us-east-1"}}]}),
        ),
        record(
            "PutResourcePolicy",
            json!({"resourceArn": TABLE, "policy": {"Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]}}]}}),
        ),
    ];
    let junk = [
        json!(null),
        json!(true),
        json!(-7.5),
        json!(""),
        json!("'\""),
        json!([]),
        json!([[{}]]),
        json!({}),
        json!({"": {"S": 1}}),
    ];
    for whole in &records {
        assert_ne!(line_of(whole), "nothing");
        for place in places(whole, String::new()) {
            for junk in &junk {
                let mut broken = whole.clone();
                *broken.pointer_mut(&place).unwrap() = junk.clone();
                line_of(&broken);
                let denied = with(whole.clone(), json!({"errorCode": "AccessDenied"}));
                assert_eq!(line_of(&denied), "nothing");
            }
        }
    }
}

fn places(value: &Value, at: String) -> Vec<String> {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut all: Vec<String> = inside
        .into_iter()
        .flat_map(|(name, value)| places(value, format!("{at}/{name}")))
        .collect();
    all.push(at);
    all
}
