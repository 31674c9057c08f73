P=/twitcher/fleet/git
etcdctl role add member
etcdctl role grant-permission member read /git/head
etcdctl role grant-permission member read --prefix=true $P
for key in hosts alive twins; do
  etcdctl role grant-permission member readwrite --prefix=true $P/$key/
done
etcdctl role add conductor
etcdctl role grant-permission conductor readwrite --prefix=true $P/permits/
for key in rollout summary conductor; do
  etcdctl role grant-permission conductor readwrite $P/$key
done
etcdctl role add operator
etcdctl role grant-permission operator readwrite /git/head
etcdctl role grant-permission operator read --prefix=true /twitcher/fleet
etcdctl role grant-permission operator readwrite $P/control
for key in hosts permits; do
  etcdctl role grant-permission operator readwrite --prefix=true $P/$key/
done
