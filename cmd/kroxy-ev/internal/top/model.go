package top

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// Model is the live view: the answers so far, and what the user has chosen to see. Only messages change it (Sample, sizes, keys); View draws
// it.
type Model struct {
	// Ask returns the status, whose texts are safe to print. It is called from another goroutine.
	Ask   func() (*admin.Status, error)
	Every time.Duration // between two requests

	width, height int
	light         bool // the terminal's background is light

	status *admin.Status // the last one; nil before the first
	at     time.Time     // when status came
	now    time.Time     // when the last message came
	err    error         // of the last request
	rates  rates
	asking bool

	kind     kind
	by       int    // index of the sorted column; -1 for the order of the file
	reverse  bool   // the smallest first
	selected string // key of the selected row; "" for the first row
	from     int    // index of the first visible row
}

// New returns a view for a terminal about which nothing is known yet.
func New(ask func() (*admin.Status, error), every time.Duration) Model {
	return Model{Ask: ask, Every: every, width: 80, height: 24, by: -1}
}

// Sized returns m on a screen of another size.
func (m Model) Sized(width, height int) Model {
	return m.updated(tea.WindowSizeMsg{Width: width, Height: height})
}

// Fed returns m with one more answer.
func (m Model) Fed(s Sample) Model { return m.updated(s) }

func (m Model) updated(msg tea.Msg) Model {
	next, _ := m.Update(msg)
	return next.(Model)
}

// Init begins to ask.
func (m Model) Init() tea.Cmd {
	return tea.Batch(tea.RequestBackgroundColor, tea.Tick(m.Every, tick))
}

// ticked is the time for the next request.
type ticked time.Time

func tick(t time.Time) tea.Msg { return ticked(t) }

// ask asks for a status.
func (m Model) ask() tea.Msg {
	s, err := m.Ask()
	return Sample{Status: s, Err: err, At: time.Now()}
}

// Update handles a message.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.light = !msg.IsDark()
	case Sample:
		m.asking, m.now = false, msg.At
		m.take(msg)
	case ticked:
		m.now = time.Time(msg)
		if m.asking {
			return m, tea.Tick(m.Every, tick)
		}
		m.asking = true
		return m, tea.Batch(m.ask, tea.Tick(m.Every, tick))
	case tea.KeyPressMsg:
		switch name := msg.String(); name {
		case "q", "Q", "ctrl+c":
			return m, tea.Quit
		case "ctrl+z":
			return m, tea.Suspend
		default:
			m.key(name)
		}
	}
	m.scroll()
	return m, nil
}

// take handles an answer.
func (m *Model) take(s Sample) {
	if m.err = s.Err; s.Err == nil {
		m.status, m.at = s.Status, s.At
		m.rates.add(s.At, counts(s.Status))
	}
}

// key handles a key press.
func (m *Model) key(name string) {
	switch name {
	case "tab", "right", "l":
		m.show((m.kind + 1) % kinds)
	case "shift+tab", "left", "h":
		m.show((m.kind + kinds - 1) % kinds)
	case "1", "2", "3", "4":
		m.show(kind(name[0] - '1'))
	case "s":
		m.sort(1)
	case "S", "shift+s":
		m.sort(-1)
	case "r":
		m.reverse = !m.reverse
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup", "ctrl+b":
		m.move(-m.page())
	case "pgdown", "ctrl+f", "space":
		m.move(m.page())
	case "home", "g":
		m.move(-1 << 30)
	case "end", "G", "shift+g":
		m.move(1 << 30)
	}
}

// show switches to rows of another kind.
func (m *Model) show(k kind) {
	m.kind, m.by, m.reverse, m.selected, m.from = k, -1, false, "", 0
}

// sort goes to the next sortable column, or to the previous one. After the last column comes the order of the file.
func (m *Model) sort(step int) {
	columns := m.kind.columns()
	for {
		m.by += step
		switch {
		case m.by < -1:
			m.by = len(columns) - 1
		case m.by >= len(columns):
			m.by = -1
		}
		if m.by < 0 || columns[m.by].value != nil && m.shown(columns[m.by]) {
			m.reverse = false
			return
		}
	}
}

// move moves the selection by this many rows, up to the first or last row.
func (m *Model) move(by int) {
	rows := m.rows()
	if len(rows) == 0 {
		return
	}
	m.selected = rows[min(max(m.position(rows)+by, 0), len(rows)-1)].key
}

// position returns the index of the selected row, or of the first row if that is gone.
func (m *Model) position(rows []row) int {
	for i := range rows {
		if rows[i].key == m.selected {
			return i
		}
	}
	return 0
}

// page returns how many rows are visible.
func (m *Model) page() int { return max(1, m.height-frameHeight) }

// scroll scrolls the selected row onto the screen.
func (m *Model) scroll() {
	rows := m.rows()
	at, page := m.position(rows), m.page()
	m.from = min(max(min(m.from, at), at-page+1), max(0, len(rows)-page))
}
