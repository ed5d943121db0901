// Package admin lets people and tools inspect and control the program over HTTP: metrics, health, status, orders and a dashboard. It knows the
// program only as a Backend. It answers outside of the event loops, with bounded resources whatever its clients do.
//
// It opens no sockets, reads no configuration and keeps no counts: package service does that and passes them in.
package admin
