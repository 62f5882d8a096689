from runctl_agent.contract.phases import Phase
from tests.controller.stage import Stage


def test_launch_list_status_wait(stage: Stage) -> None:
    d = stage.json("launch", "train.py", "--dry-run", "--run", stage.run)
    print(d)
    i = stage.launch("--on-finish", "stop", "--env", "A=b")
    print(stage.keys())
    print(stage.document("run.json"), stage.document("launch.json"))
    print(stage.command("status", stage.run).stdout)
    print(stage.command("list").stdout)
    stage.posts(stage.state(i, Phase.TRAINING, step=3, committed_at=1_700_000_000))
    print(stage.command("status", stage.run[:6]).stdout)
    print(stage.command("list").stdout)
    p = stage.start("wait", stage.run, "--every", "200ms")
    stage.posts(stage.state(i, Phase.FAILED, step=3, exit_code=3, generation=2))
    out, err = p.communicate()
    print(p.returncode, out, err)
    print(stage.command("launch", "train.py", "--run", stage.run, code=6).stderr)
    print(stage.command("launch", "trian.py", "--run", "Foo", code=5).stderr)
    print(stage.json("wait", stage.run, code=10))
