package lint

import (
	"math"
	"slices"
	"strconv"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// shapeOf returns what m lists, for comparison.
func shapeOf(m *policy.Match) shape {
	var s shape
	add := func(name string, items []item) {
		if len(items) > 0 {
			s = append(s, newKeySet(name, items))
		}
	}
	for _, k := range m.Keys() {
		add(k.Name, patternItems(k))
		if k.Flag != nil {
			add(k.Name, []item{{word: strconv.FormatBool(*k.Flag)}})
		}
	}
	result := m.Result
	if result == nil {
		result = []string{"fail"}
	}
	add("result", wordItems(result))
	add("listener", wordItems(m.Listener))
	add("requested", wordItems(m.Requested))
	add("from_field", wordItems(m.FromField))
	add("weekday", dayItems(m.Weekdays))
	add("time", hourItems(m.Hours))
	add("history", historyItems(m))
	slices.SortFunc(s, func(a, b keySet) int { return compareKeys(&a, &b) })
	return s
}

func patternItems(k policy.Key) []item {
	var items []item
	for _, p := range k.Domains {
		items = append(items, item{domain: p})
	}
	for _, p := range k.Networks {
		items = append(items, item{network: p})
	}
	return items
}

func wordItems[T ~string](list []T) []item {
	var items []item
	for _, w := range list {
		items = append(items, item{word: string(w)})
	}
	return items
}

func dayItems(days []pattern.Weekday) []item {
	var items []item
	for _, d := range days {
		items = append(items, item{word: d.String()})
	}
	return items
}

// hourItems cuts hours at midnight.
func hourItems(hours []pattern.Hours) []item {
	var items []item
	for _, h := range hours {
		if h.Begin < h.End {
			items = append(items, item{numbers: numbers{h.Begin, h.End}})
			continue
		}
		items = append(items, item{numbers: numbers{h.Begin, pattern.DayMinutes}})
		if h.End > 0 {
			items = append(items, item{numbers: numbers{0, h.End}})
		}
	}
	return items
}

func historyItems(m *policy.Match) []item {
	if m.HistoryMin == nil && m.HistoryMax == nil {
		return nil
	}
	n := numbers{0, math.MaxInt}
	if m.HistoryMin != nil {
		n.low = *m.HistoryMin
	}
	if m.HistoryMax != nil && *m.HistoryMax < math.MaxInt {
		n.high = *m.HistoryMax + 1
	}
	return []item{{numbers: n}}
}
