//! Headers of producing.

use super::headers;

headers! {
    /// Answer to all sends.
    SendMessageResponseHeader {
        required msg_id: String = "msgId",
        required queue_id: i32 = "queueId",
        required queue_offset: i64 = "queueOffset",
        optional transaction_id: String = "transactionId",
        optional batch_uniq_id: String = "batchUniqId",
        optional recall_handle: String = "recallHandle",
    }
    /// END_TRANSACTION. `commit_or_rollback` is one of the transaction values of
    /// [`crate::codes::sys_flag`]; 0 means unknown.
    EndTransactionRequestHeader {
        required producer_group: String = "producerGroup",
        required tran_state_table_offset: i64 = "tranStateTableOffset",
        required commit_log_offset: i64 = "commitLogOffset",
        required commit_or_rollback: i32 = "commitOrRollback",
        default from_transaction_check: bool = "fromTransactionCheck",
        required msg_id: String = "msgId",
        optional transaction_id: String = "transactionId",
        optional topic: String = "topic",
    }
    /// RECALL_MESSAGE.
    RecallMessageRequestHeader {
        optional producer_group: String = "producerGroup",
        required topic: String = "topic",
        required recall_handle: String = "recallHandle",
    }
    /// Answer to RECALL_MESSAGE.
    RecallMessageResponseHeader {
        required msg_id: String = "msgId",
    }
}
