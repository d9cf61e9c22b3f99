package survey

// Example is a source with one of the messages that it brought.
type Example struct {
	Source  Source
	QueueID string
}

// Proposal is a rule for a forwarder.
type Proposal struct {
	Command string `json:"command"` // that prints it
	Says    string `json:"says"`    // what it covers
	Covers  int64  `json:"covers"`
	Failed  int64  `json:"failed"` // messages from this source that failed
}
