"""The stand-ins for Slicer's Qt side: they do what Slicer does, and refuse what it doesn't have.

The whole file runs against Slicer's own Python too, where DEEPIMAGING_SLICER_PYTHON names its folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

MODULE = """
from typing import Annotated

import ctk, qt, vtk, slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.ScriptedLoadableModule import *
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
from slicer.util import VTKObservationMixin


class TryPanel(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Try")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Tests")]
        parent.dependencies = []
        parent.contributors = ["us"]


@parameterNodeWrapper
class TryPanelParameters:
    inputVolume: vtkMRMLScalarVolumeNode
    output: vtkMRMLSegmentationNode | None
    threshold: Annotated[float, WithinRange(0, 1), Default(0.5)]
    model: Annotated[str, Choice(["fast", "fine"]), Default("fine")]
    invert: bool = False
    title: str
    labels: list[str]
    colors: dict[str, str]
    limit: int | None


class TryPanelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.events = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/TryPanel.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.parameters = TryPanelParameters(TryPanelLogic().getParameterNode())
        self.tag = self.parameters.connectGui(self.ui)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneClosed)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)

    def onApply(self):
        self.events.append("apply")

    def onSceneClosed(self, caller, event):
        self.events.append("closed")

    def cleanup(self):
        self.parameters.disconnectGui(self.tag)
        self.removeObservers()
        self.events.append("cleanup")


class TryPanelLogic(ScriptedLoadableModuleLogic):
    pass


class TryPanelTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("ran")
        slicer.tryPanelRan = True
"""


def widget(className: str, name: str, inside: str = "", parameter: str = "") -> str:
    """One widget of a .ui file, as an item of a layout."""
    bound = (
        f'<property name="SlicerParameterName" stdset="0"><string>{parameter}</string></property>' if parameter else ""
    )
    return f'<item><widget class="{className}" name="{name}">{inside}{bound}</widget></item>'


def setting(name: str, kind: str, value: Any) -> str:
    """One property of a .ui file."""
    return f'<property name="{name}"><{kind}>{value}</{kind}></property>'


def ui(*items: str, connections: str = "") -> str:
    """A .ui file with these items in one column."""
    return (
        '<ui version="4.0"><class>TryPanel</class><widget class="qMRMLWidget" name="TryPanel">'
        f'<layout class="QVBoxLayout" name="column">{"".join(items)}</layout></widget>'
        f"<connections>{connections}</connections></ui>"
    )


def connection(sender: str, signal: str, receiver: str, slot: str) -> str:
    """One connection of a .ui file."""
    parts = {"sender": sender, "signal": signal, "receiver": receiver, "slot": slot}
    return "<connection>" + "".join(f"<{key}>{value}</{key}>" for key, value in parts.items()) + "</connection>"


SELECTOR = setting("nodeTypes", "stringlist", "<string>vtkMRMLScalarVolumeNode</string>") + setting(
    "noneEnabled", "bool", "true"
)
SCENE = connection("TryPanel", "mrmlSceneChanged(vtkMRMLScene*)", "inputSelector", "setMRMLScene(vtkMRMLScene*)")
PANEL = ui(
    widget("qMRMLNodeComboBox", "inputSelector", SELECTOR, "inputVolume"),
    widget("QCheckBox", "invertBox", setting("text", "string", "Invert"), "invert"),
    widget("ctkSliderWidget", "thresholdSlider", parameter="threshold"),
    widget("QComboBox", "modelBox", parameter="model"),
    widget("QLineEdit", "titleEdit", parameter="title"),
    widget("QPushButton", "applyButton", setting("text", "string", "Apply")),
    connections=SCENE + connection("invertBox", "toggled(bool)", "titleEdit", "setDisabled(bool)"),
)


@pytest.fixture(autouse=True)
def slicer(mrml_scene: Any) -> Any:
    """The module `slicer`, with everything in place and an empty scene."""
    return sys.modules["slicer"]


@pytest.fixture
def qt() -> Any:
    """The module `qt`."""
    return sys.modules["qt"]


@pytest.fixture
def ctk() -> Any:
    """The module `ctk`."""
    return sys.modules["ctk"]


@pytest.fixture
def drive() -> Any:
    """The package of the stand-ins; it can be imported once it is known that Qt is there."""
    from Testing.panels import standins

    return standins


@pytest.fixture
def panel(tmp_path: Path, drive: Any) -> Iterator[Any]:
    """The panel of a module that is loaded from a file."""
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "Resources" / "UI" / "TryPanel.ui").write_text(PANEL, encoding="utf-8")
    (tmp_path / "TryPanel.py").write_text(MODULE, encoding="utf-8")
    yield drive.load_module(tmp_path / "TryPanel.py")[1]
    if "TryPanel" in sys.modules:
        drive.unload_module("TryPanel")
    sys.path.remove(str(tmp_path))


def load(text: str, folder: Path) -> Any:
    """The widget of a .ui file."""
    path = folder / "some.ui"
    path.write_text(text, encoding="utf-8")
    return sys.modules["slicer"].util.loadUI(str(path))


class TestQt:
    def test_properties_are_attributes(self, qt: Any) -> None:
        button, table, timer = qt.QPushButton("Apply"), qt.QTableWidget(2, 3), qt.QTimer()
        button.enabled = False
        table.rowCount = 5
        timer.singleShot = True
        assert (button.text, button.enabled, button.visible) == ("Apply", False, False)
        assert (table.rowCount, table.columnCount) == (5, 3)
        assert not timer.active and timer.isSingleShot()

    @pytest.mark.parametrize("name", ["enabeld", "setText", "anything"])
    def test_unknown_attributes_are_refused(self, qt: Any, name: str) -> None:
        with pytest.raises(AttributeError, match=name):
            setattr(qt.QPushButton(), name, True)

    def test_subclasses_in_python_have_state_of_their_own(self, qt: Any) -> None:
        class Mine(qt.QDialog):
            def __init__(self) -> None:
                super().__init__()
                self.seen: list[int] = []
                self.connect("finished(int)", self.seen.append)

        mine = Mine()
        mine.done(3)
        assert mine.seen == [3]

    def test_signals_are_strings(self, qt: Any) -> None:
        button, seen = qt.QPushButton(), []
        button.checkable = True

        def slot(checked: bool) -> None:
            seen.append(checked)

        button.connect("toggled(bool)", slot)
        button.connect("clicked()", lambda: seen.append("clicked"))
        button.click()
        button.disconnect("toggled(bool)", slot)
        button.click()
        assert seen == [True, "clicked", "clicked"]

    def test_a_slot_may_take_fewer_arguments_than_its_signal_has(self, qt: Any) -> None:
        edit, seen = qt.QLineEdit(), []
        edit.connect("textChanged(QString)", lambda: seen.append(edit.text))
        edit.text = "a"
        assert seen == ["a"]

    def test_an_unknown_signal_is_refused(self, qt: Any) -> None:
        with pytest.raises(ValueError, match=r"clicke\(\)"):
            qt.QPushButton().connect("clicke()", print)

    def test_keywords_are_refused(self, qt: Any) -> None:
        with pytest.raises(TypeError, match="keyword"):
            qt.QLabel(text="no")

    @pytest.mark.parametrize("name", ["QNothing", "SIGNAL", "QInputDialog"])
    def test_unknown_names_are_refused(self, qt: Any, ctk: Any, name: str) -> None:
        for module in (qt, ctk):
            with pytest.raises(AttributeError, match=name):
                getattr(module, name)

    def test_enums_are_flat(self, qt: Any) -> None:
        label = qt.QLabel("x")
        label.alignment = qt.Qt.AlignRight | qt.Qt.AlignVCenter
        assert label.alignment & qt.Qt.AlignRight
        assert qt.QFrame.Sunken != qt.QFrame.Raised
        assert not hasattr(qt.Qt, "AlignmentFlag")

    def test_children_are_found_by_the_classes_of_qt(self, qt: Any) -> None:
        pane = qt.QWidget()
        form = qt.QFormLayout(pane)
        edit = qt.QLineEdit()
        form.addRow("Name:", edit)
        assert pane.findChildren(qt.QLineEdit) == [edit]
        assert [label.text for label in pane.findChildren(qt.QLabel)] == ["Name:"]
        assert isinstance(edit, qt.QWidget) and type(edit) is qt.QLineEdit

    def test_what_qt_makes_itself_behaves_alike(self, qt: Any) -> None:
        table, menu, seen = qt.QTableWidget(1, 1), qt.QMenu(), []
        table.horizontalHeader().stretchLastSection = True
        table.horizontalHeader().connect("sectionClicked(int)", seen.append)
        action = menu.addAction("Copy")
        action.connect("triggered()", lambda: seen.append(action.text))
        action.trigger()
        assert table.horizontalHeader().stretchLastSection and seen == ["Copy"]
        with pytest.raises(AttributeError, match="stretch"):
            table.horizontalHeader().stretch = True

    def test_what_qt_makes_itself_can_be_given_back(self, qt: Any) -> None:
        box, pane = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok), qt.QWidget()
        layout = qt.QVBoxLayout(pane)
        layout.addWidget(box)
        qt.QWidget.setTabOrder(box.button(qt.QDialogButtonBox.Ok), box)
        assert pane.isAncestorOf(box.button(qt.QDialogButtonBox.Ok))

    def test_settings_are_not_the_users(self, qt: Any) -> None:
        qt.QSettings().setValue("DeepImaging/test", "here")
        assert qt.QSettings().value("DeepImaging/test") == "here"
        assert "panel-settings-" in qt.QSettings().fileName()

    def test_an_exception_in_a_slot_is_not_lost(self, qt: Any, errors_in_slots: list[BaseException]) -> None:
        button = qt.QPushButton()
        button.connect("clicked()", lambda: 1 / 0)
        button.click()
        assert isinstance(errors_in_slots.pop(), ZeroDivisionError)


class TestDialogs:
    def test_a_question_is_answered(self, qt: Any, drive: Any) -> None:
        with drive.answering("/a/file.csv") as asked:
            assert qt.QFileDialog.getSaveFileName(None, "Save as") == "/a/file.csv"
        assert asked == [(None, "Save as")]

    def test_an_open_dialog_is_clicked(self, qt: Any, drive: Any) -> None:
        box = qt.QMessageBox()
        yes = box.addButton("Do it", qt.QMessageBox.AcceptRole)
        with drive.answering(lambda dialog: drive.click(yes)):
            box.exec_()
        assert box.clickedButton() == yes

    def test_nobody_to_answer_is_an_error(self, qt: Any) -> None:
        with pytest.raises(RuntimeError, match="Sure"):
            qt.QMessageBox.question(None, "Title", "Sure?")
        with pytest.raises(RuntimeError, match="waits"):
            qt.QDialog().exec_()

    def test_a_dialog_that_never_comes_is_an_error(self, drive: Any) -> None:
        with pytest.raises(AssertionError, match="never opened"), drive.answering("x"):
            pass


class TestUiFiles:
    def test_the_classes_are_exactly_the_stand_ins(self, qt: Any, slicer: Any, tmp_path: Path) -> None:
        variables = slicer.util.childWidgetVariables(load(PANEL, tmp_path))
        assert type(variables.applyButton) is qt.QPushButton
        assert type(variables.inputSelector) is slicer.qMRMLNodeComboBox
        assert variables.inputSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
        assert variables.titleEdit.property("SlicerParameterName") == "title"

    def test_connections_are_wired(self, slicer: Any, tmp_path: Path) -> None:
        root = load(PANEL, tmp_path)
        variables = slicer.util.childWidgetVariables(root)
        assert not variables.inputSelector.enabled
        root.setMRMLScene(slicer.mrmlScene)
        variables.invertBox.checked = True
        assert variables.inputSelector.mrmlScene() is slicer.mrmlScene and variables.inputSelector.enabled
        assert not variables.titleEdit.enabled

    def test_flags_of_ctk_are_set(self, slicer: Any, tmp_path: Path) -> None:
        flags = setting("filters", "set", "ctkPathLineEdit::Files|ctkPathLineEdit::Readable")
        variables = slicer.util.childWidgetVariables(load(ui(widget("ctkPathLineEdit", "path", flags)), tmp_path))
        assert variables.path.filters == variables.path.Files | variables.path.Readable

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (ui(widget("qMRMLTreeView", "tree")), "qMRMLTreeView"),
            (ui(widget("QPushButton", "b", setting("enabeld", "bool", "true"))), "QPushButton.enabeld"),
            (ui(widget("QPushButton", "b"), connections=connection("b", "clocked()", "b", "toggle()")), "clocked"),
            (ui(widget("QPushButton", "b"), connections=connection("b", "clicked()", "b", "fold()")), "fold"),
            (ui(connections=connection("gone", "clicked()", "TryPanel", "show()")), "gone"),
        ],
    )
    def test_what_is_unknown_is_refused(self, text: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=message):
            load(text, tmp_path)


class TestCtk:
    def test_a_collapsed_button_hides_its_contents(self, qt: Any, ctk: Any, drive: Any) -> None:
        button, seen = ctk.ctkCollapsibleButton("Advanced"), []
        label, gone = qt.QLabel("inside"), qt.QLabel("hidden by itself")
        layout = qt.QVBoxLayout(button)
        layout.addWidget(label)
        layout.addWidget(gone)
        gone.hide()
        button.connect("contentsCollapsed(bool)", seen.append)
        button.collapsed = True
        assert label.isHidden() and button.sizeHint().height() < 40
        button.collapsed = False
        assert not label.isHidden() and gone.isHidden() and seen == [True, False]

    def test_what_is_added_to_a_collapsed_button_is_hidden(self, qt: Any, ctk: Any) -> None:
        button, label = ctk.ctkCollapsibleButton(), qt.QLabel("inside")
        button.collapsed = True
        qt.QVBoxLayout(button).addWidget(label)
        button.show()
        assert not label.visible

    def test_a_slider_keeps_within_its_range(self, ctk: Any) -> None:
        slider, seen = ctk.ctkSliderWidget(), []
        slider.connect("valueChanged(double)", seen.append)
        slider.setRange(0, 2)
        slider.value = 5
        assert slider.value == 2 and seen == [2]

    def test_a_path_is_asked_for(self, ctk: Any, drive: Any) -> None:
        edit = ctk.ctkPathLineEdit()
        with drive.answering("/models/a.zip"):
            edit.browse()
        assert edit.currentPath == "/models/a.zip"

    def test_what_is_known_by_name_only_says_so(self, ctk: Any) -> None:
        with pytest.raises(NotImplementedError, match="ctkRangeWidget"):
            ctk.ctkRangeWidget()


@pytest.fixture
def selector(slicer: Any) -> Any:
    """A node selector of volumes, told of the scene, that keeps what it says."""
    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    made.setMRMLScene(slicer.mrmlScene)
    return made


def volume(name: str, className: str = "vtkMRMLScalarVolumeNode") -> Any:
    """A new node of the scene."""
    return sys.modules["slicer"].mrmlScene.AddNewNodeByClass(className, name)


class TestNodeSelector:
    def test_leaves_out_nodes_that_are_hidden_by_their_ids(self, selector: Any) -> None:
        first, second = volume("first"), volume("second")
        selector.sortFilterProxyModel().hiddenNodeIDs = [first.GetID()]
        assert [selector.nodeFromIndex(n) for n in range(selector.nodeCount())] == [second]
        selector.sortFilterProxyModel().hiddenNodeIDs = []
        assert selector.nodeCount() == 2

    def test_lists_the_nodes_of_its_types(self, selector: Any) -> None:
        ct, _, labels = volume("CT"), volume("model", "vtkMRMLModelNode"), volume("l", "vtkMRMLLabelMapVolumeNode")
        assert [selector.nodeFromIndex(i) for i in range(selector.nodeCount())] == [ct, labels]
        selector.showChildNodeTypes = False
        assert selector.nodeCount() == 1

    def test_hidden_nodes_are_not_listed(self, selector: Any) -> None:
        node = volume("CT")
        node.HideFromEditorsOn()
        node.Modified()
        assert selector.nodeCount() == 0
        selector.showHidden = True
        assert selector.nodeCount() == 1

    def test_a_choice_is_told_once(self, selector: Any) -> None:
        node, nodes, flags = volume("CT"), [], []
        selector.connect("currentNodeChanged(vtkMRMLNode*)", nodes.append)
        selector.connect("currentNodeChanged(bool)", flags.append)
        selector.setCurrentNode(node)
        selector.setCurrentNodeID(node.GetID())
        selector.setCurrentNode(None)
        assert nodes == [node, None] and flags == [True, False]

    def test_without_none_and_without_actions_the_first_node_is_chosen(self, selector: Any) -> None:
        selector.addEnabled = selector.removeEnabled = False
        node = volume("CT")
        assert selector.currentNode() is node

    def test_with_actions_nothing_is_chosen_by_itself(self, selector: Any) -> None:
        volume("CT")
        assert selector.currentNode() is None and selector.currentNodeID == ""

    def test_a_new_name_is_shown(self, qt: Any, selector: Any) -> None:
        volume("CT").SetName("Chest")
        box = selector.findChildren(qt.QComboBox)[0]
        assert [box.itemText(i) for i in range(box.count)] == ["Chest"]

    def test_a_removed_choice_moves_up(self, slicer: Any, selector: Any) -> None:
        selector.noneEnabled = True
        first, second = volume("first"), volume("second")
        selector.setCurrentNode(second)
        slicer.mrmlScene.RemoveNode(second)
        assert selector.currentNode() is first
        slicer.mrmlScene.RemoveNode(first)
        assert selector.currentNode() is None

    def test_closing_the_scene_empties_it(self, slicer: Any, selector: Any) -> None:
        node, seen = volume("CT"), []
        selector.setCurrentNode(node)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
        slicer.mrmlScene.Clear(0)
        assert selector.nodeCount() == 0 and selector.currentNode() is None and seen == [None]

    def test_a_node_asked_for_before_there_is_a_scene_is_chosen_later(self, slicer: Any) -> None:
        node, early = volume("CT"), slicer.qMRMLNodeComboBox()
        early.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        early.currentNodeID = node.GetID()
        early.setMRMLScene(slicer.mrmlScene)
        assert early.currentNode() is node

    def test_adds_a_node(self, slicer: Any, selector: Any) -> None:
        seen: list[Any] = []
        selector.baseName = "Result"
        selector.connect("nodeAddedByUser(vtkMRMLNode*)", seen.append)
        node = selector.addNode()
        assert node.GetName() == "Result" and selector.currentNode() is node and seen == [node]

    def test_goes_quietly(self, slicer: Any, qt: Any, drive: Any) -> None:
        pane = qt.QWidget()
        inside = slicer.qMRMLNodeComboBox(pane)
        inside.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        inside.setMRMLScene(slicer.mrmlScene)
        pane.deleteLater()
        drive.process_events_until(lambda: True)
        volume("CT")  # must not reach the deleted widget


class TestModule:
    def test_is_registered(self, slicer: Any, panel: Any, tmp_path: Path) -> None:
        module = slicer.modules.trypanel
        assert (module.name, module.title) == ("TryPanel", "Try")
        assert module.path == str(tmp_path / "TryPanel.py")
        assert module.widgetRepresentation().self() is panel is slicer.modules.TryPanelWidget
        assert panel.resourcePath("UI/TryPanel.ui") == str(tmp_path / "Resources" / "UI" / "TryPanel.ui")
        assert slicer.app.moduleManager().module("TryPanel") is module

    def test_a_typo_in_its_description_is_refused(self, slicer: Any, panel: Any) -> None:
        with pytest.raises(AttributeError, match="titel"):
            slicer.modules.trypanel.titel = "Try"

    def test_a_click_reaches_the_panel(self, panel: Any, drive: Any) -> None:
        drive.click(panel.ui.applyButton)
        assert panel.events == ["apply"]

    def test_a_grey_button_cannot_be_clicked(self, panel: Any, drive: Any) -> None:
        panel.ui.applyButton.enabled = False
        with pytest.raises(AssertionError, match="applyButton"):
            drive.click(panel.ui.applyButton)

    def test_the_end_is_announced_once(self, panel: Any, drive: Any, slicer: Any) -> None:
        drive.unload_module("TryPanel")
        slicer.mrmlScene.Clear(0)
        assert panel.events == ["cleanup"]

    def test_reload_builds_the_panel_anew(self, slicer: Any, panel: Any) -> None:
        panel.onReload()
        assert slicer.modules.TryPanelWidget is not panel and panel.events == ["cleanup"]
        assert slicer.modules.TryPanelWidget.ui.applyButton is not panel.ui.applyButton

    def test_its_own_tests_run(self, slicer: Any, panel: Any) -> None:
        slicer.modules.TryPanelInstance.runTest()
        assert slicer.tryPanelRan

    def test_the_parameter_node_is_one_a_scene(self, slicer: Any, panel: Any) -> None:
        logic = sys.modules["TryPanel"].TryPanelLogic()
        assert logic.getParameterNode() is logic.getParameterNode() is panel.parameters.parameterNode
        assert len(logic.getAllParameterNodes()) == 1


class TestParameters:
    def test_are_kept_as_slicer_keeps_them(self, panel: Any) -> None:
        node, parameters = panel.parameters.parameterNode, panel.parameters
        parameters.inputVolume = volume("CT")
        parameters.labels, parameters.colors = ["liver", "heart"], {"liver": "red"}
        parameters.invert, parameters.limit = True, 3
        kept = {name: node.GetParameter(name) for name in node.GetParameterNamesAsCommaSeparatedList().split(",")}
        assert kept == {
            "inputVolume": "",
            "output.1": "True",
            "threshold": "0.5",
            "model": "fine",
            "invert": "True",
            "title": "",
            "labels.len": "2",
            "labels.0": "liver",
            "labels.1": "heart",
            "colors.len": "1",
            "colors.0.0": "liver",
            "colors.0.1": "red",
            "limit.0": "3",
        }
        assert node.GetNodeReference("inputVolume") is parameters.inputVolume

    def test_lists_and_mappings_write_themselves_back(self, panel: Any) -> None:
        panel.parameters.labels.append("liver")
        panel.parameters.colors["liver"] = "red"
        assert panel.parameters.labels == ["liver"] and panel.parameters.colors == {"liver": "red"}
        del panel.parameters.labels[0]
        assert panel.parameters.labels == [] and not panel.parameters.parameterNode.HasParameter("labels.0")

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("threshold", 2.0, ValueError),
            ("model", "best", ValueError),
            ("title", 5, TypeError),
            ("limit", "many", TypeError),
            ("labels", [1], TypeError),
        ],
    )
    def test_wrong_values_are_refused(self, panel: Any, name: str, value: Any, error: type[Exception]) -> None:
        before = panel.parameters.getValue(name)
        with pytest.raises(error):
            panel.parameters.setValue(name, value)
        assert panel.parameters.getValue(name) == before

    def test_follow_the_widgets(self, panel: Any) -> None:
        node, ui, parameters = volume("CT"), panel.ui, panel.parameters
        ui.inputSelector.setCurrentNode(node)
        ui.invertBox.checked = True
        ui.thresholdSlider.value = 0.25
        ui.modelBox.currentIndex = 0
        ui.titleEdit.text = "Mine"
        assert parameters.inputVolume is node and parameters.invert
        assert (parameters.threshold, parameters.model, parameters.title) == (0.25, "fast", "Mine")

    def test_show_in_the_widgets(self, panel: Any) -> None:
        node, ui, parameters = volume("CT"), panel.ui, panel.parameters
        parameters.inputVolume, parameters.threshold, parameters.model = node, 0.75, "fast"
        assert ui.inputSelector.currentNode() is node
        assert (ui.thresholdSlider.value, ui.modelBox.currentText) == (0.75, "fast")
        assert (ui.thresholdSlider.minimum, ui.thresholdSlider.maximum) == (0, 1)

    def test_untied_they_go_their_own_way(self, panel: Any) -> None:
        panel.parameters.disconnectGui(panel.tag)
        panel.ui.invertBox.checked = True
        panel.parameters.title = "Mine"
        assert not panel.parameters.invert and panel.ui.titleEdit.text == ""

    def test_are_observed_as_a_node(self, slicer: Any, panel: Any) -> None:
        seen: list[str] = []
        tag = panel.parameters.AddObserver("ModifiedEvent", lambda caller, event: seen.append(event))
        with slicer.util.NodeModify(panel.parameters):
            panel.parameters.title, panel.parameters.invert = "Mine", True
        panel.parameters.RemoveObserver(tag)  # the node outlives the test, and VTK would call what is collected
        assert seen == ["ModifiedEvent"]

    def test_come_back_with_a_saved_scene(self, slicer: Any, panel: Any, tmp_path: Path) -> None:
        parameters = panel.parameters
        parameters.inputVolume = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.uint8), name="CT")
        parameters.labels, parameters.threshold, parameters.limit = ["liver"], 0.125, 7
        assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), properties={})
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(str(tmp_path / "scene.mrb"), properties={})
        module = sys.modules["TryPanel"]
        again = module.TryPanelParameters(module.TryPanelLogic().getParameterNode())
        assert again.inputVolume.GetName() == "CT"
        assert (list(again.labels), again.threshold, again.limit) == (["liver"], 0.125, 7)

    def test_a_widget_that_cannot_show_a_type_is_refused(self, qt: Any, panel: Any) -> None:
        with pytest.raises(RuntimeError, match="QPlainTextEdit"):
            panel.parameters.connectParametersToGui({"title": qt.QPlainTextEdit()})

    def test_an_unknown_name_is_refused(self, qt: Any, panel: Any) -> None:
        with pytest.raises(ValueError, match="titel"):
            panel.parameters.connectParametersToGui({"titel": qt.QLineEdit()})


class TestPictures:
    def test_letters_are_drawn(self, qt: Any, drive: Any, tmp_path: Path) -> None:
        pictures = [drive.render(qt.QLabel(text), tmp_path / f"{text}.png", 80) for text in ("abc", "xyz")]
        assert pictures[0].read_bytes() != pictures[1].read_bytes()  # boxes for missing letters are all alike

    def test_dark_is_dark(self, qt: Any, panel: Any, drive: Any, tmp_path: Path) -> None:
        means = []
        for dark in (False, True):
            image = qt.QImage(str(drive.render(panel, tmp_path / "panel.png", 300, dark)))
            means.append(np.mean([image.pixelColor(x, 3).lightness() for x in range(image.width())]))
            assert image.width() == 300
        assert means[0] > 200 > 100 > means[1]


class TestDriving:
    def test_waiting_ends(self, qt: Any, drive: Any) -> None:
        state = SimpleNamespace(done=False)
        qt.QTimer.singleShot(20, lambda: setattr(state, "done", True))
        drive.process_events_until(lambda: state.done, 5)
        with pytest.raises(TimeoutError):
            drive.process_events_until(lambda: False, 0.01)

    def test_installing_again_changes_nothing(self, qt: Any, drive: Any) -> None:
        assert drive.install() is drive.install() is sys.modules["slicer"].app
        assert sys.modules["qt"] is qt

    def test_the_application_has_what_panels_use(self, slicer: Any) -> None:
        seen: list[str] = []
        slicer.app.connect("startupCompleted()", lambda: seen.append("up"))
        slicer.app.startupCompleted.emit()
        slicer.app.connect("aboutToQuit()", lambda: None)
        slicer.app.clipboard().setText("copied")
        assert seen == ["up"] and slicer.app.clipboard().text() == "copied"
        assert slicer.app.layoutManager() is None and slicer.util.mainWindow() is None
        with pytest.raises(ValueError, match="startupDone"):
            slicer.app.connect("startupDone()", print)
