package metrics

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"sync"

	"kroxy-ev/engine/shared"
)

// Type is what a column's cells are.
type Type uint8

// The types. A TypeTime is a Timespan, in ns; a TypeMoment is a Moment, in ns since 1970.
const (
	TypeCounter Type = iota
	TypeTime
	TypeGauge
	TypeMoment
	TypeHistogram
)

// Column is a column of a kind, as its struct declares it.
type Column struct {
	Kind Kind
	// Name is the whole name of the metric, "kroxy_server_requests_total", and Help what it says.
	Name, Help string
	Type       Type
	// Labels are the names of the labels beside those of the series. Values has their values for each cell; it is nil for a cell that is never counted.
	Labels []string
	Values [][]string

	at, cell int // where the first cell is in the struct, and how long each is, in words
}

// schema is what the structs declare.
type schema struct {
	columns [kinds][]Column
	gauges  [kinds][]int // the words of gauges
	words   [kinds]int   // how long each struct is
	layout  uint64       // it differs if anything does
}

// declared is made of the structs when it is first needed.
var declared = sync.OnceValue(func() *schema {
	s := new(schema)
	h := fnv.New64a()
	for kind, view := range views {
		t := reflect.TypeOf(view)
		s.words[kind] = int(t.Size()) / shared.WordSize
		for i := range t.NumField() {
			f := t.Field(i)
			c := newColumn(Kind(kind), f)
			s.columns[kind] = append(s.columns[kind], c)
			for j := range c.Values {
				if c.Type == TypeGauge {
					s.gauges[kind] = append(s.gauges[kind], c.at+j*c.cell)
				}
			}
			fmt.Fprintln(h, c.Name, c.Type, c.Values, c.at, c.cell)
		}
	}
	s.layout = h.Sum64()
	return s
})

// newColumn is the column that field f declares.
func newColumn(kind Kind, f reflect.StructField) Column {
	c := Column{Kind: kind, Name: kindNames[kind].prefix + f.Tag.Get("name"), Help: f.Tag.Get("help"), Values: [][]string{{}}, at: int(f.Offset) / shared.WordSize}
	cell := f.Type
	if l, ok := reflect.New(f.Type).Interface().(labelled); ok {
		c.Labels, c.Values = l.labels()
		cell = f.Type.Elem()
	}
	switch cell {
	case reflect.TypeFor[Counter](), reflect.TypeFor[Tally]():
		c.Type = TypeCounter
	case reflect.TypeFor[Timespan]():
		c.Type = TypeTime
	case reflect.TypeFor[Gauge]():
		c.Type = TypeGauge
	case reflect.TypeFor[Moment]():
		c.Type = TypeMoment
	case reflect.TypeFor[Histogram]():
		c.Type = TypeHistogram
	default:
		panic("metrics: " + f.Name + " is of no type that can be counted")
	}
	c.cell = int(cell.Size()) / shared.WordSize
	if len(c.Values)*c.cell*shared.WordSize != int(f.Type.Size()) {
		panic("metrics: " + f.Name + " has not as many cells as labels")
	}
	return c
}

// Columns are the columns of a kind, in the order of its struct.
func Columns(k Kind) []Column { return declared().columns[k] }

// Sums are all cells of a series, added up over all rows: what one of the structs has, for those who go through its Columns.
type Sums []uint64

// Value is cell i of column c: a count, ns or what a gauge has. C is no histogram.
func (s Sums) Value(c *Column, i int) uint64 { return s[c.at+i*c.cell] }

// Histogram is cell i of column c, which is a histogram.
func (s Sums) Histogram(c *Column, i int) *Histogram {
	at := c.at + i*c.cell
	return view[Histogram](s[at : at+c.cell])
}
