package blob

import (
	"fmt"
	"strconv"
	"strings"

	"dmarcgate/results"
)

// field is one field of T: its number in blobs, its key in JSON and its column in
// CSV. A field without a number is not in the blob: the columns beside it have it,
// or it follows from others.
type field[T any] struct {
	number int
	key    string // below that of what it is a field of; "" when JSON has none
	write  func(e *Encoder, v *T)
	read   func(m *message, v *T)
	visit  func(v *T, all bool, f visitor) // its texts; nil without
	cell   func(v *T) string               // nil when it has none that CSV could show

	column int    // the place in CSV, from 1 on; 0 is none
	name   string // of the column
}

// visitor is given a text and returns what becomes of it.
type visitor func(text string, what content) string

// content says what a text holds, and so who writes it, how long it stays in a row
// that is too large (Trim), and whether results.Scrub looks for a local part.
type content uint8

const (
	id     content = iota // of ours, or a domain that was parsed: a name's length
	name                  // a domain, or what a third party gave as one: scrubbed, a name's length
	word                  // one of few: cut short
	says                  // our own words: cut as words that explain
	reason                // words that may quote a third party: the same, scrubbed
	term                  // of an SPF record: the same, scrubbed
	record                // policy tags: scrubbed, a name's length
)

// scrubbed reports whether a text may come with a local part.
func (c content) scrubbed() bool { return c == name || c == reason || c == term || c == record }

// col shows the field in CSV, under its own key.
func (f field[T]) col(place int) field[T] { return f.colAs(place, f.key) }

// colAs shows the field in CSV under another name.
func (f field[T]) colAs(place int, name string) field[T] {
	f.column, f.name = place, name
	return f
}

// table is the fields of T, in the order in which they are written.
type table[T any] struct {
	fields   []field[T]
	byNumber []*field[T]
}

func fieldsOf[T any](fields ...field[T]) *table[T] {
	t := &table[T]{fields: fields}
	for i := range fields {
		f := &fields[i]
		for len(t.byNumber) <= f.number {
			t.byNumber = append(t.byNumber, nil)
		}
		if f.number > 0 {
			t.byNumber[f.number] = f
		}
	}
	return t
}

func (t *table[T]) write(e *Encoder, v *T) {
	for i := range t.fields {
		if f := &t.fields[i]; f.write != nil {
			f.write(e, v)
		}
	}
}

// read reads the fields of a message. Those that it does not know are of a newer
// program.
func (t *table[T]) read(m *message, v *T) {
	for m.next() {
		if f := t.field(m.field); f != nil {
			f.read(m, v)
		}
	}
}

// field returns the field with a number, nil when there is none.
func (t *table[T]) field(number int) *field[T] {
	if number < 0 || number >= len(t.byNumber) {
		return nil
	}
	return t.byNumber[number]
}

// key returns the key of the field with a number, "" when there is none.
func (t *table[T]) key(number int) string {
	if f := t.field(number); f != nil {
		return f.key
	}
	return ""
}

// visit gives the texts of v to f. Those of lists that Trim makes shorter are
// among them only with all.
func (t *table[T]) visit(v *T, all bool, f visitor) {
	for i := range t.fields {
		if visit := t.fields[i].visit; visit != nil {
			visit(v, all, f)
		}
	}
}

// text is a field that is a string.
func text[T any, S ~string](number int, key string, what content, at func(*T) *S) field[T] {
	return field[T]{
		number: number, key: key,
		write: func(e *Encoder, v *T) { e.text(number, string(*at(v))) },
		read:  func(m *message, v *T) { *at(v) = S(m.text()) },
		visit: func(v *T, _ bool, f visitor) { *at(v) = S(f(string(*at(v)), what)) },
		cell:  func(v *T) string { return string(*at(v)) },
	}
}

// texts is a list of strings.
func texts[T any](number int, key string, what content, at func(*T) *[]string) field[T] {
	return field[T]{
		number: number, key: key,
		write: func(e *Encoder, v *T) { e.list(number, *at(v)) },
		read: func(m *message, v *T) {
			list := at(v)
			*list = append(*list, m.text())
		},
		visit: func(v *T, all bool, f visitor) {
			for i, s := range *at(v) {
				if all {
					(*at(v))[i] = f(s, what)
				}
			}
		},
		cell: func(v *T) string { return strings.Join(*at(v), " ") },
	}
}

// flag is a field that is true or false.
func flag[T any](number int, key string, at func(*T) *bool) field[T] {
	return field[T]{
		number: number, key: key,
		write: func(e *Encoder, v *T) { e.flag(number, *at(v)) },
		read:  func(m *message, v *T) { *at(v) = m.number() != 0 },
		cell: func(v *T) string {
			if *at(v) {
				return "yes"
			}
			return "no"
		},
	}
}

// count is a number that is not negative.
func count[T any, N ~int | ~int64 | ~uint64](number int, key string, at func(*T) *N) field[T] {
	return field[T]{
		number: number, key: key,
		write: func(e *Encoder, v *T) { e.number(number, uint64(*at(v))) },
		read:  func(m *message, v *T) { *at(v) = N(m.number()) },
		cell:  func(v *T) string { return strconv.FormatUint(uint64(*at(v)), 10) },
	}
}

// small is a number of one byte, mostly that of an enumeration.
func small[T any, N ~uint8](number int, key string, at func(*T) *N) field[T] {
	return field[T]{
		number: number, key: key,
		write: func(e *Encoder, v *T) { e.number(number, uint64(*at(v))) },
		read: func(m *message, v *T) {
			n := m.number()
			if n > 0xff {
				m.fail()
			}
			*at(v) = N(n)
		},
		cell: func(v *T) string { return fmt.Sprint(*at(v)) },
	}
}

// part is a field with fields of its own. It is left out when these are.
func part[T, U any](number int, key string, fields *table[U], at func(*T) *U) field[T] {
	return field[T]{
		number: number, key: key,
		write: func(e *Encoder, v *T) {
			before := len(e.fields)
			in := e.open(number)
			fields.write(e, at(v))
			if len(e.fields) > in {
				e.close(in)
			} else {
				e.fields, e.nested = e.fields[:before], e.nested-1
			}
		},
		read:  func(m *message, v *T) { fields.read(m.open(), at(v)) },
		visit: func(v *T, all bool, f visitor) { fields.visit(at(v), all, f) },
	}
}

// parts is a list of them. Trim makes the list shorter, and so leaves the texts
// of each as they are.
func parts[T, U any](number int, key string, fields *table[U], at func(*T) *[]U) field[T] {
	list := whole(number, key, fields, at)
	visit := list.visit
	list.visit = func(v *T, all bool, f visitor) {
		if all {
			visit(v, all, f)
		}
	}
	return list
}

// whole is a list whose parts Trim leaves, and cuts the texts of.
func whole[T, U any](number int, key string, fields *table[U], at func(*T) *[]U) field[T] {
	return field[T]{
		number: number, key: key,
		write: func(e *Encoder, v *T) {
			for i := range *at(v) {
				in := e.open(number)
				fields.write(e, &(*at(v))[i])
				e.close(in)
			}
		},
		read: func(m *message, v *T) {
			list := at(v)
			*list = append(*list, *new(U))
			fields.read(m.open(), &(*list)[len(*list)-1])
		},
		visit: func(v *T, all bool, f visitor) {
			for i := range *at(v) {
				fields.visit(&(*at(v))[i], all, f)
			}
		},
	}
}

// beside is a field that the columns beside the blob have, or that follows from
// others.
func beside[T any](key string, cell func(*T) string) field[T] { return field[T]{key: key, cell: cell} }

// Column is a column of CSV.
type Column struct {
	Name string
	Cell func(*results.Row) string
}

// CSV returns the columns of CSV, in their order: docs/store.md explains them, and
// new ones come at the end. Of several author domains, the one that decided is
// shown, or else the first.
func CSV() []Column {
	var all []Column
	addColumns(&all, rowFields, func(r *results.Row) *results.Row { return r })
	addColumns(&all, factsFields, factsOf)
	addColumns(&all, authorFields, (*results.Row).Author)
	addColumns(&all, decisionFields, decisionOf)
	return all
}

// addColumns puts the columns of a table into their places.
func addColumns[T any](all *[]Column, t *table[T], of func(*results.Row) *T) {
	for _, f := range t.fields {
		if f.column == 0 {
			continue
		}
		for len(*all) < f.column {
			*all = append(*all, Column{})
		}
		(*all)[f.column-1] = Column{f.name, func(r *results.Row) string { return f.cell(of(r)) }}
	}
}
