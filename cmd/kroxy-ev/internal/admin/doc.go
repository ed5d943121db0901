// Package admin is how people and their tools see the program and steer it over HTTP: metrics, health, status, orders and a dashboard.
// It knows the program only as a Backend, and answers off the loops, in a bounded way whatever its clients do.
//
// It opens no socket, reads no configuration and keeps no count: package service does, and gives it these.
package admin
