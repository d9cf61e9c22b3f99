package view

import "time"

// A chart is drawn into a box of these units, which the page stretches.
const (
	chartWidth  = 600
	chartHeight = 120
)

// Chart is a picture of stacked columns, one for each day, with its numbers. Its
// colours are classes of the style sheet.
type Chart struct {
	ID      string // unique on the page
	Title   string
	Says    string // the picture in one sentence
	Note    string // what is missing in it; "" for nothing
	Width   int
	Height  int
	Columns []Column
	Keys    []Key
	Most    string // of the highest column
	First   string // day of the first column
	Last    string
}

// Column is a day.
type Column struct {
	Day   string
	Parts []Part
	Cells []string // the numbers, for each Key
}

// Part is a rectangle of a column.
type Part struct {
	Class      string
	X, Y, W, H float64
	Title      string
}

// Key is a kind of part, with its sum over all columns.
type Key struct {
	Class, Name, Sum, Share string
}

// kind is a Key before it is counted.
type kind struct{ class, name string }

// stack makes a chart of counts by day and kind.
func stack(id, title string, days []time.Time, kinds []kind, counts [][]int64) Chart {
	c := Chart{ID: id, Title: title, Width: chartWidth, Height: chartHeight}
	var most, all int64
	sums := make([]int64, len(kinds))
	for _, day := range counts {
		var n int64
		for k, v := range day {
			n, sums[k] = n+v, sums[k]+v
		}
		most, all = max(most, n), all+n
	}
	for k, kind := range kinds {
		c.Keys = append(c.Keys, Key{kind.class, kind.name, Number(sums[k]), percent(sums[k], all)})
	}
	wide := float64(chartWidth) / float64(max(1, len(days)))
	for i, day := range days {
		c.Columns = append(c.Columns, column(day, float64(i)*wide, wide, kinds, counts[i], max(1, most)))
	}
	c.Most = Number(most)
	if len(days) > 0 {
		c.First, c.Last = days[0].Format("2 Jan"), days[len(days)-1].Format("2 Jan")
	}
	return c
}

// column stacks the counts of a day from the bottom.
func column(day time.Time, x, wide float64, kinds []kind, counts []int64, most int64) Column {
	c := Column{Day: day.Format("2006-01-02")}
	y := float64(chartHeight)
	for k, n := range counts {
		c.Cells = append(c.Cells, Number(n))
		if n == 0 {
			continue
		}
		h := float64(chartHeight) * float64(n) / float64(most)
		y -= h
		c.Parts = append(c.Parts, Part{kinds[k].class, round(x + wide*0.1), round(y), round(wide * 0.8), round(h), c.Day + ": " + kinds[k].name + " " + Number(n)})
	}
	return c
}

// round keeps a tenth of a unit.
func round(v float64) float64 { return float64(int64(v*10+0.5)) / 10 }

// Bar is a horizontal bar of a table.
type Bar struct {
	Width float64 // of barWidth
	Text  string
}

// barWidth is the width of the longest bar of a table, in units of its box.
const barWidth = 100

// barOf is a bar of n where the longest stands for most.
func barOf(n, most int64) Bar {
	return Bar{round(barWidth * float64(n) / float64(max(1, most))), Number(n)}
}
