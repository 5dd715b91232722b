"""The ledger: entries, reports over them, exports, and the audit trail."""
