package queue

import (
	"errors"
	"testing"
)

func TestAfterRetry(t *testing.T) {
	for _, test := range []struct {
		name           string
		s              State
		rendered, kept bool
		want           State
		err            error
	}{
		{"a report at work", Ready, true, true, Ready, ErrLost},
		{"a report that is planned", Planned, false, false, Planned, ErrLost},
		{"a report that is done is sent where it was not", Done, true, true, Ready, nil},
		{"a report that was held before it was rendered", Held, false, false, Planned, nil},
		{"a report that failed is rendered again", Failed, false, false, Planned, nil},
		{"a report that was withheld", Withheld, true, true, Ready, nil},
		{"a report whose document was deleted", Done, true, false, Done, ErrGone},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := AfterRetry(test.s, test.rendered, test.kept); got != test.want || !errors.Is(err, test.err) {
				t.Errorf("AfterRetry = %s, %v; want %s, %v", got, err, test.want, test.err)
			}
		})
	}
	if _, err := AfterRetry(Split, true, true); err == nil {
		t.Error("AfterRetry of a report that was split succeeded; want its parts tried")
	}
}

func TestAfterAttempt(t *testing.T) {
	for _, test := range []struct{ s, outcome, want DeliveryState }{
		{Trying, Sent, Sent}, {Trying, Refused, Refused}, {Trying, Expired, Expired}, {Trying, Due, Due},
		{Suppressed, Sent, Sent}, {Suppressed, Due, Suppressed}, {DeliveryHeld, Refused, DeliveryHeld}, {Due, Refused, Due},
	} {
		if got := AfterAttempt(test.s, test.outcome); got != test.want {
			t.Errorf("AfterAttempt(%s, %s) = %s; want %s", test.s, test.outcome, got, test.want)
		}
	}
}

func TestAfterDelivery(t *testing.T) {
	for _, test := range []struct {
		s         State
		all, open int64
		want      State
	}{
		{Ready, 2, 1, Ready}, {Ready, 2, 0, Done}, {Ready, 0, 0, Ready}, {Planned, 2, 0, Planned}, {Held, 2, 0, Held},
	} {
		if got := AfterDelivery(test.s, test.all, test.open); got != test.want {
			t.Errorf("AfterDelivery(%s, %d, %d) = %s; want %s", test.s, test.all, test.open, got, test.want)
		}
	}
}

func TestOnlySomeStatesAreGivenByAnOwner(t *testing.T) {
	for s, want := range map[State]DeliveryState{Withheld: DeliveryHeld, Withdrawn: DeliveryGone, Failed: DeliveryHeld} {
		if got, ok := DeliveriesOf(s); got != want || !ok {
			t.Errorf("DeliveriesOf(%s) = %s, %v; want %s", s, got, ok, want)
		}
	}
	for _, s := range []State{Planned, Ready, Done, Split, Held, ""} {
		if got, ok := DeliveriesOf(s); ok {
			t.Errorf("DeliveriesOf(%s) = %s; want that no owner gives this state", s, got)
		}
	}
}

func TestKeptIsThirtyAndFourHundredDays(t *testing.T) {
	if got, want := Kept(end), (Purge{Bodies: end.AddDate(0, 0, -30), All: end.AddDate(0, 0, -400)}); got != want {
		t.Errorf("Kept = %+v; want %+v", got, want)
	}
}
