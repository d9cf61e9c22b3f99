package queue

import (
	"reflect"
	"testing"
	"time"
)

var (
	day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	end = day.Add(Day)
)

func TestMayClose(t *testing.T) {
	live := func(host string) Source {
		return Source{ID: host, Host: host, Watermark: end, Seen: end.Add(10 * time.Minute)}
	}
	with := func(s Source, change func(s *Source)) Source {
		change(&s)
		return s
	}
	silent := with(live("mx2"), func(s *Source) { s.Watermark, s.Seen = end.Add(-time.Second), end.Add(-time.Second) })
	slow := with(live("mx2"), func(s *Source) { s.Watermark, s.Seen = end.Add(-time.Second), end.Add(6*time.Hour) })
	skewed := with(live("mx2"), func(s *Source) { s.Skew = -5*time.Minute - time.Second })
	for _, test := range []struct {
		name    string
		now     time.Time
		waiting bool // rows of this host wait
		sources []Source
		want    Closing
	}{
		{"not before ten minutes after midnight", end.Add(CloseAfter - 1), false, nil,
			Closing{Why: "the day ended less than 10 minutes ago", Again: end.Add(CloseAfter)}},
		{"ten minutes after midnight, without other hosts", end.Add(CloseAfter), false, nil, Closing{May: true}},
		{"not while rows of this host wait", end.Add(CloseAfter), true, []Source{live("mx1")},
			Closing{Why: "rows of this host wait to be written", Again: end.Add(CloseAfter + time.Minute)}},
		{"when all watermarks have reached midnight", end.Add(CloseAfter), false, []Source{live("mx1"), live("mx2")}, Closing{May: true}},
		{"not while a watermark is missing", end.Add(CloseAfter), false, []Source{live("mx1"), silent},
			Closing{Why: "rows of mx2 are missing", Again: end.Add(Grace)}},
		{"not while a store has no watermark at all", end.Add(CloseAfter), false, []Source{{ID: "x", Host: "mx3"}},
			Closing{Why: "rows of mx3 are missing", Again: end.Add(Grace)}},
		{"one moment before the grace is over", end.Add(Grace - 1), false, []Source{live("mx1"), silent},
			Closing{Why: "rows of mx2 are missing", Again: end.Add(Grace)}},
		{"after the grace, naming the silent host", end.Add(Grace), false, []Source{live("mx1"), silent}, Closing{May: true, Silent: []string{"mx2"}}},
		{"after the grace, naming a host that is slow", end.Add(Grace), false, []Source{slow, live("mx1")}, Closing{May: true, Silent: []string{"mx2"}}},
		{"a host that has said goodbye is not waited for", end.Add(CloseAfter), false, []Source{with(silent, func(s *Source) { s.Gone = true })}, Closing{May: true}},
		{"a clock that differs by five minutes is taken", end.Add(CloseAfter), false, []Source{with(live("mx2"), func(s *Source) { s.Skew = MaxSkew })}, Closing{May: true}},
		{"not while a clock differs by more", end.Add(CloseAfter), false, []Source{live("mx1"), skewed}, Closing{Why: "clock of mx2 differs by -5m1s"}},
		{"not after the grace either, while the host lives", end.Add(Grace), false, []Source{with(skewed, func(s *Source) { s.Seen = end.Add(Grace) })},
			Closing{Why: "clock of mx2 differs by -5m1s"}},
		{"a wrong clock weighs more than a missing host", end.Add(CloseAfter), false, []Source{silent, skewed}, Closing{Why: "clock of mx2 differs by -5m1s"}},
		{"a host with a wrong clock that is lost is named", end.Add(Grace + CloseAfter), false, []Source{skewed}, Closing{May: true, Silent: []string{"mx2"}}},
		{"the wrong clock of a store that has ended is no matter", end.Add(CloseAfter), false, []Source{with(skewed, func(s *Source) { s.Gone = true })}, Closing{May: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := MayClose(end, test.now, !test.waiting, test.sources); !reflect.DeepEqual(got, test.want) {
				t.Errorf("MayClose = %+v; want %+v", got, test.want)
			}
		})
	}
}

func TestUptoHasTheLastRowOfEachStore(t *testing.T) {
	got := Upto([]Source{{ID: "a", Last: 7}, {ID: "b", Gone: true, Last: 9}, {ID: "c"}})
	if want := map[string]int64{"a": 7, "b": 9, "c": 0}; !reflect.DeepEqual(got, want) {
		t.Errorf("Upto = %v; want %v", got, want)
	}
}
