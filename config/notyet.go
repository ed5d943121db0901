package config

// unmade is a key, or one value of a key, that is declared and that nothing acts
// on yet.
type unmade struct {
	of    level
	key   string
	value string // "" is any
}

// notYet is refused until it does something. Whoever makes something of it act
// takes it out of the list.
var notYet []unmade

// refuseUnmade reports that m, whose key is k, is, or has, what does nothing yet.
func (o object) refuseUnmade(k *key, m *member) {
	for _, u := range o.unmade {
		switch {
		case u.of != k.of || u.key != k.name:
		case u.value == "":
			o.failAt(m.pos, keyPath(o.path, m.key), quote(u.key)+" does nothing yet", "remove it until a version has it")
		case m.value.kind == kindString && m.value.text() == u.value:
			o.fail(&m.value, keyPath(o.path, m.key), quote(u.value)+" is not there yet", "write another one until a version has it")
		}
	}
}
