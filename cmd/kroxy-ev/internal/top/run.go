package top

import (
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// Run shows the view on a terminal until the user quits. It gets the first status before it touches the screen, so that an error stays
// readable.
func Run(ask func() (*admin.Status, error), every time.Duration, in io.Reader, out io.Writer) error {
	first, err := ask()
	if err != nil {
		return err
	}
	m := New(ask, every)
	m.now = time.Now()
	m.take(Sample{Status: first, At: m.now})
	_, err = tea.NewProgram(m, tea.WithInput(in), tea.WithOutput(out)).Run()
	if err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("kroxy-ev: top: %w", err)
	}
	return nil
}
