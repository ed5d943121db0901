package metrics

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Table holds all rows and the places of all series, in the process that reads the configuration. Any goroutine may call its methods.
//
// A row keeps its counts when its writer ends, and the next writer continues from there, so that no counter ever falls. Only gauges are
// cleared: see ClearGauges.
type Table struct {
	mu      sync.Mutex
	own     *Row         // has no writer; holds the Service metrics
	rows    map[int]*Row // by number
	series  map[Series]*placed
	next    Place // where the next new series is placed
	commits int
}

// NewTable makes a table without rows and series.
func NewTable() (*Table, error) {
	own, err := newSharedRow()
	if err != nil {
		return nil, err
	}
	return tableOf(own), nil
}

func tableOf(own *Row) *Table {
	return &Table{own: own, rows: make(map[int]*Row), series: make(map[Series]*placed), next: Place(seriesAt)}
}

// Row returns the row of that number, and makes it if necessary. The caller must make sure that each row has only one writer at a time.
func (t *Table) Row(n int) (*Row, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[n]; r != nil {
		return r, nil
	}
	r, err := newSharedRow()
	if err != nil {
		return nil, err
	}
	t.rows[n] = r
	return r, nil
}

// ClearGauges sets all gauges of row n to zero, because its writer is gone and holds nothing. The writer must not be running: wait for
// its process first.
func (t *Table) ClearGauges(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[n]
	if r == nil {
		return
	}
	for s, at := range t.series {
		for _, word := range declared().gauges[s.Kind] {
			clearWord(&r.words[int(at.Place)+word])
		}
	}
	for _, word := range declared().gauges[KindProcess] {
		clearWord(&r.words[processAt+word])
	}
}

// clearWord sets a word to zero, without touching a page that was never written.
func clearWord(p *uint64) {
	if atomic.LoadUint64(p) != 0 {
		atomic.StoreUint64(p, 0)
	}
}

// Rows returns the numbers of all rows.
func (t *Table) Rows() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]int, 0, len(t.rows))
	for n := range t.rows {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// Service returns the metrics of this process as a service; no row's writer counts them.
func (t *Table) Service() *Service { return view[Service](t.own.words[serviceAt:]) }

// Process returns the metrics of the writers of row n.
func (t *Table) Process(n int) *Process {
	t.mu.Lock()
	r := t.rows[n]
	t.mu.Unlock()
	p := new(Process)
	if r != nil {
		addUp(wordsOf(p), r.words[processAt:], declared().gauges[KindProcess])
	}
	return p
}

// Server returns the sums over all rows for the server at this place; zeros if there is none.
func (t *Table) Server(p Place) *Server { return sumOf[Server](t, KindServer, p) }

// Route returns the sums over all rows for the route at this place; zeros if there is none.
func (t *Table) Route(p Place) *Route { return sumOf[Route](t, KindRoute, p) }

// Group returns the sums over all rows for the group at this place; zeros if there is none.
func (t *Table) Group(p Place) *Group { return sumOf[Group](t, KindGroup, p) }

// Host returns the sums over all rows for the host at this place; zeros if there is none.
func (t *Table) Host(p Place) *Host { return sumOf[Host](t, KindHost, p) }

func sumOf[V any](t *Table, k Kind, p Place) *V {
	v := new(V)
	t.sum(k, p, wordsOf(v))
	return v
}

// Sum returns the sums over all rows for the series at this place, which is of kind k, for callers that iterate over Columns. It reuses the
// memory of sums if that is large enough.
func (t *Table) Sum(k Kind, p Place, sums Sums) Sums {
	n := declared().words[k]
	sums = slices.Grow(sums[:0], n)[:n]
	clear(sums)
	t.sum(k, p, sums)
	return sums
}

// sum adds the rows' values to sums, which must be zeros.
func (t *Table) sum(k Kind, p Place, sums []uint64) {
	if int(p) < seriesAt || int(p) > rowWords-len(sums) {
		return
	}
	t.mu.Lock()
	rows := make([]*Row, 0, 16)
	for _, r := range t.rows {
		rows = append(rows, r)
	}
	t.mu.Unlock()
	for _, r := range rows {
		addUp(sums, r.words[p:], declared().gauges[k])
	}
}

// addUp adds words to sums. It cannot overflow: a sum stops at the largest int64, and a negative gauge counts as zero.
func addUp(sums, words []uint64, gauges []int) {
	words = words[:len(sums)]
	for i := range sums {
		word := atomic.LoadUint64(&words[i])
		if word == 0 {
			continue
		}
		if word > math.MaxInt64 {
			if slices.Contains(gauges, i) {
				continue
			}
			word = math.MaxInt64
		}
		sums[i] = plus(sums[i], word)
	}
}

// ProcessSums returns Process for callers that iterate over the Columns of KindProcess.
func (t *Table) ProcessSums(n int) Sums { return wordsOf(t.Process(n)) }

// ServiceSums returns Service for callers that iterate over the Columns of KindService.
func (t *Table) ServiceSums() Sums {
	s := make(Sums, declared().words[KindService])
	addUp(s, t.own.words[serviceAt:], nil)
	return s
}

// Close unmaps all rows. A process that lives as long as its table need not call it.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own.Close()
	for _, r := range t.rows {
		r.Close()
	}
	clear(t.rows)
}
