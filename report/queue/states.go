package queue

import "errors"

// AfterRetry returns the state that Retry gives a report. rendered says that the
// report has had a document, kept that the document is still stored.
func AfterRetry(s State, rendered, kept bool) (State, error) {
	switch {
	case !s.Ended():
		return s, ErrLost // it is at work
	case s == Split:
		return s, errors.New("the report was split: try its parts again")
	case !rendered:
		return Planned, nil
	case !kept:
		return s, ErrGone
	}
	return Ready, nil
}

// AfterAttempt returns the state of a delivery after an attempt that ended as sent,
// refused, expired, or due again. A delivery that was ended while the attempt went on
// stays as it is, unless the mail was sent.
func AfterAttempt(s, outcome DeliveryState) DeliveryState {
	if s == Trying || outcome == Sent {
		return outcome
	}
	return s
}

// AfterDelivery returns the state of a report some of whose deliveries are open. A
// report without any waits for its destinations.
func AfterDelivery(s State, deliveries, open int64) State {
	if s == Ready && deliveries > 0 && open == 0 {
		return Done
	}
	return s
}

// DeliveriesOf returns how open deliveries end with a report that its owner ends, and
// false for a state that no owner gives a report.
func DeliveriesOf(s State) (DeliveryState, bool) {
	switch s {
	case Withheld, Failed:
		return DeliveryHeld, true
	case Withdrawn:
		return DeliveryGone, true
	}
	return "", false
}
