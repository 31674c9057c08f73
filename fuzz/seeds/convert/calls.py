import os
HOSTS = ['a', 'b']
for host in HOSTS:
    RegisterWatch('/web/%s' % host, Exec('restart %s' % host), uid='www-data', pipe_stdin=False)
if os.path.exists('/etc/x'):
    RegisterWatch(znode=u'/git/head', action=Exec(['git', 'pull']), run_mode=QUEUE, notify_signal=1, run_on_load=True)
def f(x=1, *a, **k):
    return {'a': [x, (1, 2)], "b": """three
lines"""}
