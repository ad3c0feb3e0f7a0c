#!/bin/sh
# keepalived's notify script for a pair of holdfastd whose configuration says arbiter = "external": the VRRP master is the active
# host. keepalived calls it as `TYPE NAME STATE PRIORITY`; the VRRP instance has the pair's name, and no addresses of its own:
#
#   vrrp_instance web {
#     interface eth0
#     virtual_router_id 77
#     priority 100
#     advert_int 0.1
#     nopreempt
#     state BACKUP
#     notify /usr/lib/holdfast/keepalived-notify.sh
#     notify_stop "/usr/lib/holdfast/keepalived-notify.sh INSTANCE web STOP 0"
#   }
#
# VRRP does not know whether the other host is silent or cut off. With it a pair is as safe as VRRP is.
set -u
name=${2:?"usage: $0 TYPE NAME STATE PRIORITY"}
state=${3:?"usage: $0 TYPE NAME STATE PRIORITY"}
control=${HOLDFAST_CONTROL:-/run/holdfast/control.sock}
holdfastctl=${HOLDFASTCTL:-holdfastctl}

case $state in
  # A host that still hears the other one active waits for some seconds until that has let go.
  MASTER) exec "$holdfastctl" promote --socket "$control" "$name" ;;
  BACKUP | FAULT | STOP) exec "$holdfastctl" demote --socket "$control" "$name" ;;
  *) echo "$0: unknown state $state" >&2; exit 64 ;;
esac
